"""The version of metaplan: one string, read by the packaging and by every cache key."""

VERSION = "0.1.0"
