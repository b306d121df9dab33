"""Images that nobody needs any more: which those are, and how they go."""
