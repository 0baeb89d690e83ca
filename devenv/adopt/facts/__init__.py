"""What a project's files say: the values, and the documents and trees that carry their places."""
