"""A sweep on a cluster, from a laptop: ssh to the head, Ray's jobs there, results brought back."""
