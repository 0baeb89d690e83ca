"""What a person wrote: presets, loaded from YAML with positions, composed with `extends`, validated."""
