"""A trained network in files that run without this toolkit, each checked before it is called
done.
"""
