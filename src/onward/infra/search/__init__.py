"""Search: whether a text stands in any byte of a folder, compressed or not.

Takes texts and a folder; gives the files that hold one. Parquet files are searched cell by cell
and in their statistics, Avro files block by block, gzip and zip files unpacked; every file is
searched as it lies on the disk, too. Refuses nothing: a file that cannot be read as what it seems
to be is searched as bytes.
"""
