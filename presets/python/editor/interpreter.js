// The interpreter that the user's settings name, or the environment's own.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vscode = require("vscode");

const OWN = "/opt/venv/bin/python";
const isFile = (place) => fs.statSync(place, { throwIfNoEntry: false })?.isFile() ?? false;

/** What the setting says for a file or folder, and the absolute path that it leads to: of a program, or of an environment's folder. */
function chosen(resource) {
    const named = vscode.workspace.getConfiguration("python", resource).get("defaultInterpreterPath");
    if (typeof named !== "string" || !named) return { named: OWN, found: OWN };
    const folder = (resource && vscode.workspace.getWorkspaceFolder(resource)) || vscode.workspace.workspaceFolders?.[0];
    const place = path.resolve(folder?.uri.fsPath ?? "/", named.replace("${workspaceFolder}", folder?.uri.fsPath ?? ""));
    return { named, found: [place, path.join(place, "bin/python")].find(isFile) };
}

/** The interpreter's absolute path. */
const interpreter = (resource) => chosen(resource).found ?? OWN;

module.exports = { OWN, chosen, interpreter, isFile };
