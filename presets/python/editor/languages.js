// Two language servers: basedpyright for types, completion and navigation; ruff for lint and formatting.
"use strict";

const { createRequire } = require("node:module");
const path = require("node:path");
const vscode = require("vscode");
const { OWN, chosen, interpreter, isFile } = require("./interpreter");

const NPM = "/opt/npm/node_modules";
const SELECTOR = [
    { scheme: "file", language: "python" },
    { scheme: "untitled", language: "python" },
    { notebook: { notebookType: "jupyter-notebook" }, language: "python" },
];

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
        documentSelector: SELECTOR,
        initializationOptions: { diagnosticMode: "openFilesOnly" },
        middleware: { workspace: { configuration } },
    });
}

/** The client for ruff: the project's own release, where its environment has one. */
function lint({ LanguageClient }) {
    const command = [interpreter(), OWN].map((python) => path.join(path.dirname(python), "ruff")).find(isFile);
    if (!command) return null;
    const configuration = vscode.workspace.getConfiguration("ruff").get("configuration") ?? undefined;
    return new LanguageClient("ruff", "ruff", { command, args: ["server"] }, {
        documentSelector: SELECTOR,
        // Without the list of folders ruff takes none of it.
        initializationOptions: { settings: [], globalSettings: { configuration } },
    });
}

/** One server, which can be started again. */
class Server {
    constructor(make) {
        Object.assign(this, { make, client: null, last: Promise.resolve() });
    }

    /** One after the other: two changes at once must not leave two servers. */
    restart() {
        this.last = this.last.then(async () => {
            await this.stop();
            this.client = this.make();
            await this.client?.start();
        });
        this.last = this.last.catch((error) => vscode.window.showErrorMessage(`A language server for Python does not start: ${error.message}`));
        return this.last;
    }

    /** It asks for its settings again. */
    async tell() {
        await this.last;
        await this.client?.sendNotification("workspace/didChangeConfiguration", { settings: null });
    }

    async stop() {
        const { client } = this;
        this.client = null;
        await client?.dispose().catch(() => {}); // it did not start, or was gone
    }
}

const servers = [];

/** A line in the language's status: which interpreter is selected. */
function showInterpreter(context) {
    const item = vscode.languages.createLanguageStatusItem("devenv.python", { language: "python" });
    const show = () => {
        const { named, found } = chosen(vscode.window.activeTextEditor?.document.uri);
        item.text = found ?? OWN;
        item.detail = found ? "Python" : `Python: ${named} does not exist`;
        item.severity = found ? vscode.LanguageStatusSeverity.Information : vscode.LanguageStatusSeverity.Warning;
    };
    item.command = { command: "workbench.action.openSettings", title: "Change", arguments: ["python.defaultInterpreterPath"] };
    show();
    context.subscriptions.push(item, vscode.workspace.onDidChangeConfiguration(show), vscode.window.onDidChangeActiveTextEditor(show));
}

/** Start the wanted servers; nothing waits for them. */
function register(context, wanted) {
    if (!isFile(path.join(NPM, "vscode-languageclient/package.json"))) return; // a preset that took `npm` away
    // It lies outside this folder: VS Code gives it the plain API all the same, and logs a warning once.
    const library = createRequire(`${NPM}/`)("vscode-languageclient/node");
    const typed = wanted.types ? new Server(() => types(library)) : null;
    const linted = wanted.lint ? new Server(() => lint(library)) : null;
    servers.push(...[typed, linted].filter(Boolean));
    showInterpreter(context);
    const restart = () => Promise.all(servers.map((server) => server.restart()));
    context.subscriptions.push(
        vscode.commands.registerCommand("devenv.python.restartServers", restart),
        vscode.workspace.onDidChangeConfiguration((change) => {
            const affects = (section) => change.affectsConfiguration(section);
            if (affects("python") || affects("basedpyright")) typed?.tell().catch((error) => console.error(error));
            if (affects("python.defaultInterpreterPath") || affects("ruff")) linted?.restart();
        }),
    );
    restart();
}

const stop = () => Promise.all(servers.map((server) => server.last.then(() => server.stop())));

module.exports = { register, stop };
