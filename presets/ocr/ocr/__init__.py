"""Pictures and PDFs to markdown, with boxes: one command, several engines."""
