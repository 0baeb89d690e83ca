// Two language servers: basedpyright for types, completion and navigation; ruff for lint and formatting.
"use strict";

const { existsSync } = require("node:fs");
const { createRequire } = require("node:module");
const path = require("node:path");
const vscode = require("vscode");
const { OWN, interpreter } = require("./interpreter");

const NPM = "/opt/npm/node_modules";
const PYTHON = [
    { scheme: "file", language: "python" },
    { scheme: "untitled", language: "python" },
];
const NOTEBOOK = [{ notebook: { notebookType: "jupyter-notebook" }, language: "python" }];
const clients = [];

/** The client for basedpyright. It asks for settings by section; `pythonPath` is the name by which it knows the interpreter. */
function types({ LanguageClient, TransportKind }) {
    const configuration = async (params, token, next) => {
        const answers = await next(params, token);
        return params.items.map((item, n) => {
            if (item.section !== "python") return answers[n];
            const resource = item.scopeUri ? vscode.Uri.parse(item.scopeUri) : undefined;
            return { ...answers[n], pythonPath: interpreter(resource) };
        });
    };
    const server = { module: path.join(NPM, "basedpyright/langserver.index.js"), transport: TransportKind.ipc };
    return new LanguageClient("basedpyright", "basedpyright", server, {
        documentSelector: [...PYTHON, ...NOTEBOOK],
        synchronize: { configurationSection: ["python", "basedpyright"] },
        initializationOptions: { diagnosticMode: "openFilesOnly" },
        middleware: { workspace: { configuration } },
    });
}

/** The client for ruff. */
function lint({ LanguageClient }, program) {
    const configuration = vscode.workspace.getConfiguration("ruff").get("configuration") ?? undefined;
    return new LanguageClient("ruff", "ruff", { command: program, args: ["server"] }, {
        documentSelector: [...PYTHON, ...NOTEBOOK],
        initializationOptions: { globalSettings: { configuration } },
    });
}

/** A line in the language's status: which interpreter is selected. */
function showInterpreter(context) {
    const item = vscode.languages.createLanguageStatusItem("devenv.python", { language: "python" });
    const show = () => {
        item.text = interpreter(vscode.window.activeTextEditor?.document.uri);
        item.detail = "Python";
    };
    item.command = { command: "workbench.action.openSettings", title: "Change", arguments: ["python.defaultInterpreterPath"] };
    show();
    context.subscriptions.push(item, vscode.workspace.onDidChangeConfiguration(show));
}

async function start(wanted) {
    // It lies outside this folder: VS Code gives it the plain API all the same, and logs a warning once.
    const library = createRequire(`${NPM}/`)("vscode-languageclient/node");
    // The project's own release of ruff, where its environment has one.
    const ruff = [interpreter(), OWN].map((python) => path.join(path.dirname(python), "ruff")).find(existsSync);
    if (wanted.types) clients.push(types(library));
    if (wanted.lint && ruff) clients.push(lint(library, ruff));
    const started = await Promise.allSettled(clients.map((client) => client.start()));
    for (const { reason } of started.filter((one) => one.status === "rejected")) {
        vscode.window.showErrorMessage(`A language server for Python does not start: ${reason.message}`);
    }
}

async function stop() {
    await Promise.allSettled(clients.splice(0).map((client) => client.dispose()));
}

/** Start the wanted servers, and start them again where the user asks or chooses another interpreter. */
async function register(context, wanted) {
    showInterpreter(context);
    // One after the other: two changes at once must not leave servers of both.
    let last = start(wanted);
    const restart = () => (last = last.then(stop).then(() => start(wanted)));
    context.subscriptions.push(
        vscode.commands.registerCommand("devenv.python.restartServers", restart),
        vscode.workspace.onDidChangeConfiguration((change) => {
            if (change.affectsConfiguration("python.defaultInterpreterPath") || change.affectsConfiguration("ruff")) restart();
        }),
    );
    await last;
}

module.exports = { register, stop };
