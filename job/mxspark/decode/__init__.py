"""The bytes of an image as an array of pixels."""
