"""Published weights by name, such as official/xception65_voc_trainaug: what there is, where it is
downloaded from, and the cache that keeps it.
"""
