// Notebooks in the editor, run by the kernels of the environment's Jupyter server.
"use strict";

const vscode = require("vscode");
const { Kernel, move, restart, shutDown } = require("./jupyter");
const { Writer } = require("./output");

const TYPE = "jupyter-notebook";
const ROOT = "/workspace/";
const kernels = new Map(); // path at the server → promise of its kernel

/** What the server calls a file: its path below /workspace, where the kernel starts in its folder, or another name. */
function pathOf(uri) {
    return uri.scheme === "file" && uri.path.startsWith(ROOT) ? uri.path.slice(ROOT.length) : `${uri.scheme}:${uri.path}`;
}

/** The kernel of a notebook, connected when it is first needed. */
function kernelOf(notebook) {
    const path = pathOf(notebook.uri);
    if (!kernels.has(path)) {
        const connected = Kernel.connect(path, () => {
            for (const [key, value] of kernels) if (value === connected) kernels.delete(key);
        });
        kernels.set(path, connected);
        connected.catch(() => kernels.delete(path));
    }
    return kernels.get(path);
}

/** The kernel that a notebook is connected to already. */
const connectedTo = async (notebook) => kernels.get(pathOf(notebook.uri))?.catch(() => undefined);

/** Ask the user on behalf of `input()`; the box goes with the cell's end. */
async function answer(kernel, message, cancel) {
    const { prompt, password } = message.content;
    const value = await vscode.window.showInputBox({ prompt, password, ignoreFocusOut: true }, cancel.token);
    if (!cancel.token.isCancellationRequested) kernel.send("stdin", "input_reply", { status: "ok", value: value ?? "" }, null, message.header);
}

/** What IPython asks of its front end beside the output: a page of text (`name?`), another text for a cell (`%load`). */
async function front(cell, writer, payload) {
    for (const one of payload ?? []) {
        if (one.source === "page") writer.write({ msg_type: "display_data", content: { data: one.data, metadata: {} } });
        if (one.source !== "set_next_input") continue;
        const edit = new vscode.WorkspaceEdit();
        if (one.replace) edit.replace(cell.document.uri, new vscode.Range(0, 0, cell.document.lineCount, 0), one.text);
        else {
            const next = new vscode.NotebookCellData(vscode.NotebookCellKind.Code, one.text, "python");
            edit.set(cell.notebook.uri, [vscode.NotebookEdit.insertCells(cell.index + 1, [next])]);
        }
        await vscode.workspace.applyEdit(edit);
    }
}

/** Run one cell. The kernel has answered when its reply and its `idle` have come, in whichever order. */
function run(kernel, cell, execution) {
    const writer = new Writer(execution, kernel.shown);
    const cancel = new vscode.CancellationTokenSource();
    return new Promise((resolve) => {
        let reply = null;
        let idle = false;
        const end = async (error) => {
            if (!kernel.running.delete(end)) return;
            kernel.forget(id);
            cancel.cancel();
            if (!error) await front(cell, writer, reply.payload);
            const last = error
                ? { msg_type: "error", content: { ename: error.name, evalue: error.message, traceback: [error.message] } }
                : { msg_type: "status" };
            await writer.write(last);
            // A cell after one that failed was not run: it neither succeeded nor failed.
            execution.end(error ? false : { ok: true, error: false }[reply.status], Date.now());
            resolve();
        };
        const content = { code: cell.document.getText(), silent: false, store_history: true, user_expressions: {}, allow_stdin: true, stop_on_error: true };
        const id = kernel.send("shell", "execute_request", content, (message) => {
            if (message.msg_type === "execute_reply") reply = message.content;
            else if (message.msg_type === "status" && message.content.execution_state === "idle") idle = true;
            else if (message.msg_type === "input_request") answer(kernel, message, cancel);
            else writer.write(message);
            if (reply && idle) end();
        });
        kernel.running.add(end);
    });
}

async function runAll(cells, notebook, controller) {
    // All of them wait visibly, and the kernel has them in order: one that fails ends those after it.
    const waiting = cells.map((cell) => [cell, controller.createNotebookCellExecution(cell)]);
    let failed = null;
    const kernel = await kernelOf(notebook).catch((error) => void (failed = error));
    await Promise.all(
        waiting.map(async ([cell, execution]) => {
            if (kernel) return run(kernel, cell, execution);
            execution.start(Date.now());
            await execution.replaceOutput(new vscode.NotebookCellOutput([vscode.NotebookCellOutputItem.stderr(failed.message)]));
            return execution.end(false, Date.now());
        }),
    );
}

/** What the kernel would complete: names that exist only while it runs, such as a table's columns. */
async function complete(document, position) {
    const notebook = vscode.workspace.notebookDocuments.find((one) => one.getCells().some((cell) => cell.document === document));
    const kernel = notebook && (await connectedTo(notebook));
    if (!kernel || kernel.running.size) return [];
    const code = document.getText();
    // The protocol counts characters, VS Code UTF-16 units.
    const place = [...code.slice(0, document.offsetAt(position))].length;
    const { matches = [], cursor_start: begin = 0 } = (await kernel.request("complete_request", { code, cursor_pos: place })) ?? {};
    const start = document.positionAt([...code].slice(0, begin).join("").length);
    return matches.map((label) =>
        Object.assign(new vscode.CompletionItem(label, vscode.CompletionItemKind.Value), { range: new vscode.Range(start, position), sortText: `zz${label}` }),
    );
}

/** A command on the notebook in front. What waits for its kernel ends with an error. */
const onActive = (act) => async () => {
    const notebook = vscode.window.activeNotebookEditor?.notebook;
    if (!notebook) return;
    try {
        if (!(await act(pathOf(notebook.uri)))) vscode.window.showInformationMessage("This notebook has no kernel yet: it starts with the first cell.");
        (await connectedTo(notebook))?.close();
    } catch (error) {
        vscode.window.showErrorMessage(error.message);
    }
};

/** A renamed notebook keeps its kernel. */
async function follow({ files }) {
    for (const { oldUri, newUri } of files) {
        const [before, after] = [pathOf(oldUri), pathOf(newUri)];
        await move(before, after).catch((error) => console.error(error));
        for (const [path, kernel] of [...kernels]) {
            if (path !== before && !path.startsWith(`${before}/`)) continue;
            kernels.delete(path);
            kernels.set(after + path.slice(before.length), kernel);
        }
    }
}

function register(context) {
    const controller = vscode.notebooks.createNotebookController("devenv", TYPE, "Python (this environment)");
    controller.supportedLanguages = ["python"];
    controller.supportsExecutionOrder = true;
    controller.description = "/opt/venv";
    controller.executeHandler = runAll;
    controller.interruptHandler = async (notebook) => (await connectedTo(notebook))?.interrupt();
    const prefer = (notebook) => {
        if (notebook.notebookType === TYPE) controller.updateNotebookAffinity(notebook, vscode.NotebookControllerAffinity.Preferred);
    };
    vscode.workspace.notebookDocuments.forEach(prefer);
    context.subscriptions.push(
        controller,
        vscode.workspace.onDidOpenNotebookDocument(prefer),
        // The kernel goes on, as when a tab of JupyterLab is closed. A rename closes, too: then the kernel has its new path.
        vscode.workspace.onDidCloseNotebookDocument(async (notebook) => (await connectedTo(notebook))?.close()),
        vscode.workspace.onDidRenameFiles(follow),
        vscode.languages.registerCompletionItemProvider({ notebookType: TYPE, language: "python" }, { provideCompletionItems: complete }, "."),
        vscode.commands.registerCommand("devenv.python.restartKernel", onActive(restart)),
        vscode.commands.registerCommand("devenv.python.shutDownKernel", onActive(shutDown)),
    );
}

module.exports = { register };
