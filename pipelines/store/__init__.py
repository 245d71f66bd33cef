"""The edges: the lake, the published file, folders."""
