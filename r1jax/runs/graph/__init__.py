"""Stages as a graph, each made once.

stages         a graph: keys, the manifest, what is done and what is to be made again
nodes          a stage of the paper as one of its nodes
fingerprint    what a key is made of
workers        stages side by side
"""
