"""Every decided value of an image and its container, and the keys that decide when something is made again."""
