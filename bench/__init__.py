"""What metaplan costs beside the ways in use today; one claim a file, run by ``python -m bench``."""
