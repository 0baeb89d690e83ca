"""Signatures of images in registries: by SSH keys, and by keys in cosign's formats; and what requires them."""
