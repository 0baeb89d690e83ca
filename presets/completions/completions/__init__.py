"""OpenAI's API for a model in a folder, by Transformers: chat and text completions, one at a time."""
