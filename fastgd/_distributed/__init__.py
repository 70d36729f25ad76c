"""Rows on a cluster: the partitions of Dask's collections as shards."""
