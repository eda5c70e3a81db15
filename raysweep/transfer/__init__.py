"""A trial's folder, copied elsewhere in the order that matters: to the head, or to an object store."""
