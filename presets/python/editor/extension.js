// What VS Code lacks for Python, from the environment's own parts: basedpyright, ruff, debugpy, and Jupyter's kernels.
// Each part stands back where an extension that the user installed does the same work.
"use strict";

const vscode = require("vscode");
const debug = require("./debug");
const languages = require("./languages");
const notebooks = require("./notebooks");

/** Whether one of these extensions is there and enabled. */
const has = (...ids) => ids.some((id) => vscode.extensions.getExtension(id));

function activate(context) {
    if (!has("ms-python.debugpy")) debug.register(context);
    if (!has("ms-toolsai.jupyter")) notebooks.register(context);
    languages.register(context, {
        types: !has("ms-python.vscode-pylance", "ms-pyright.pyright", "detachhead.basedpyright"),
        lint: !has("charliermarsh.ruff"),
    });
}

module.exports = { activate, deactivate: languages.stop };
