// The interpreter that the user's settings name, or the environment's own.
"use strict";

const { existsSync } = require("node:fs");
const path = require("node:path");
const vscode = require("vscode");

const OWN = "/opt/venv/bin/python";

/** The absolute path of the interpreter for a file or folder. */
function interpreter(resource) {
    const named = vscode.workspace.getConfiguration("python", resource).get("defaultInterpreterPath") || OWN;
    const folder = (resource && vscode.workspace.getWorkspaceFolder(resource)) || vscode.workspace.workspaceFolders?.[0];
    const found = path.resolve(folder?.uri.fsPath ?? "/", named.replace("${workspaceFolder}", folder?.uri.fsPath ?? ""));
    return existsSync(found) ? found : OWN;
}

module.exports = { OWN, interpreter };
