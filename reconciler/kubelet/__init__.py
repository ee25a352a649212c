"""The kubelet's Memory Manager: its configuration checked without a kubelet.

`quantity` and `eviction` calculate as Kubernetes does, `configuration` merges files and flags as a kubelet does when it
starts, and `rules` says whether it would start. Only `reading` opens files.
"""
