"""The shipped plans, written in the language like anybody's."""
