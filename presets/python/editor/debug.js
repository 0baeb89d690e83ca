// The debugger: debugpy's adapter, which speaks the protocol of VS Code itself.
"use strict";

const vscode = require("vscode");
const { OWN, interpreter } = require("./interpreter");

const THIS_FILE = { name: "Python: this file", type: "debugpy", request: "launch", program: "${file}" };

/** A configuration with what the user left out. Without launch.json VS Code gives an empty one: then it is the open file. */
function complete(folder, config) {
    if (!config.type && !config.request) {
        if (vscode.window.activeTextEditor?.document.languageId !== "python") return undefined;
        Object.assign(config, THIS_FILE);
    }
    if (config.request === "launch") {
        config.python ??= interpreter(folder?.uri);
        config.console ??= "integratedTerminal";
        config.cwd ??= folder ? "${workspaceFolder}" : undefined;
        config.justMyCode ??= true;
    }
    return config;
}

/** Run a command on the file of the editor or of the button's place. */
async function onFile(uri, act) {
    const file = uri ?? vscode.window.activeTextEditor?.document.uri;
    if (!file) return;
    const open = vscode.workspace.textDocuments.find((document) => document.uri.toString() === file.toString());
    if (open?.isDirty) await open.save();
    await act(file, vscode.workspace.getWorkspaceFolder(file));
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function run(uri) {
    return onFile(uri, (file, folder) => {
        const terminal =
            vscode.window.terminals.find((one) => one.name === "Python" && !one.exitStatus) ??
            vscode.window.createTerminal({ name: "Python", cwd: folder?.uri });
        terminal.show();
        terminal.sendText(`${quoted(interpreter(file))} ${quoted(file.fsPath)}`);
    });
}

function register(context) {
    // The adapter is that of the environment; the program's interpreter needs no debugpy of its own.
    const adapter = new vscode.DebugAdapterExecutable(OWN, ["-m", "debugpy.adapter"]);
    context.subscriptions.push(
        vscode.debug.registerDebugAdapterDescriptorFactory("debugpy", { createDebugAdapterDescriptor: () => adapter }),
        vscode.debug.registerDebugConfigurationProvider("debugpy", { resolveDebugConfiguration: complete }),
        vscode.debug.registerDebugConfigurationProvider(
            "debugpy",
            { provideDebugConfigurations: () => [THIS_FILE] },
            vscode.DebugConfigurationProviderTriggerKind.Dynamic,
        ),
        // debugpy tells of each child process by an event of its own.
        vscode.debug.onDidReceiveDebugSessionCustomEvent(({ session, event, body }) => {
            if (event !== "debugpyAttach") return;
            vscode.debug.startDebugging(session.workspaceFolder, body, { parentSession: session, lifecycleManagedByParent: true });
        }),
        vscode.commands.registerCommand("devenv.python.run", run),
        vscode.commands.registerCommand("devenv.python.debug", (uri) =>
            onFile(uri, (file, folder) => vscode.debug.startDebugging(folder, { ...THIS_FILE, program: file.fsPath })),
        ),
    );
}

module.exports = { register };
