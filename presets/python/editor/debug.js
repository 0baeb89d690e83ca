// The debugger: debugpy's adapter, which speaks the protocol of VS Code itself.
"use strict";

const fs = require("node:fs");
const { parseEnv } = require("node:util");
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
        // Else the console of the debugger hides the terminal in which the program asks.
        if (config.console === "integratedTerminal") config.internalConsoleOptions ??= "neverOpen";
        config.cwd ??= folder ? "${workspaceFolder}" : undefined;
        config.justMyCode ??= true;
    }
    return config;
}

/** After VS Code has put values in place of `${…}`. */
function withEnvFile(_, config) {
    if (!config.envFile) return config;
    try {
        config.env = { ...parseEnv(fs.readFileSync(config.envFile, "utf8")), ...config.env };
    } catch (error) {
        vscode.window.showErrorMessage(`envFile cannot be read: ${error.message}`);
        return undefined;
    }
    return config;
}

/** An adapter of this session's own, or the one that waits already: that of a debugged program, also for its children. */
function adapter({ configuration }) {
    const { request, connect } = configuration;
    if (request === "attach" && connect?.port) return new vscode.DebugAdapterServer(Number(connect.port), connect.host ?? "127.0.0.1");
    // It is the environment's: the program's interpreter needs no debugpy of its own.
    return new vscode.DebugAdapterExecutable(OWN, ["-m", "debugpy.adapter"]);
}

/** Run a command on the file of the editor or of the button's place, saved before. */
async function onFile(uri, act) {
    let file = uri ?? vscode.window.activeTextEditor?.document.uri;
    const open = vscode.workspace.textDocuments.find((document) => document.uri.toString() === file?.toString());
    if (open?.isDirty || open?.isUntitled) file = await vscode.workspace.save(file); // another place, where it had none
    if (file) await act(file, vscode.workspace.getWorkspaceFolder(file));
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function run(uri) {
    return onFile(uri, (file, folder) => {
        const terminal =
            vscode.window.terminals.find((one) => one.name === "Python" && !one.exitStatus) ??
            vscode.window.createTerminal({ name: "Python", cwd: folder?.uri });
        terminal.show(true);
        terminal.sendText(`${quoted(interpreter(file))} ${quoted(file.fsPath)}`);
    });
}

function register(context) {
    context.subscriptions.push(
        vscode.debug.registerDebugAdapterDescriptorFactory("debugpy", { createDebugAdapterDescriptor: adapter }),
        vscode.debug.registerDebugConfigurationProvider("debugpy", {
            resolveDebugConfiguration: complete,
            resolveDebugConfigurationWithSubstitutedVariables: withEnvFile,
        }),
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
