"""Ray: started or found, what its nodes have, and whether they can run a trial."""
