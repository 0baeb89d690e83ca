"""Every decided value of an image and its container, and the keys that say when something has to be made again."""
