"""One run: what is missing of a sweep becomes trained, and a person sees it happen."""
