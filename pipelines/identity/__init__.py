"""Identity: the IIN, the child key, linkage to the spine."""
