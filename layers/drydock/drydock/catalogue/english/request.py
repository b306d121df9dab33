"""Input that is refused."""

SENTENCES = {
    "request.no_object": "{path}: {value} is not an object",
    "request.required": "{path}: is required",
    "request.document.name": "the name of an SSM document",
    "request.document.version": "the number of a document's version",
    "request.document.hash": "the hash of a document's content",
    "request.document.many": "{path}: takes {most:number} documents at most, not {count:number}",
}
