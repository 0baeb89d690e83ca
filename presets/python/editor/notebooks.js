// Notebooks in the editor, run by the kernels of the environment's Jupyter server.
"use strict";

const vscode = require("vscode");
const { Kernel } = require("./jupyter");

const TYPE = "jupyter-notebook";
const ROOT = "/workspace/";
const kernels = new Map(); // address of a notebook → promise of its kernel

/** The kernel of a notebook, connected when it is first needed. */
function kernelOf(notebook) {
    const key = notebook.uri.toString();
    if (!kernels.has(key)) {
        if (!notebook.uri.path.startsWith(ROOT)) throw new Error(`Save the notebook below ${ROOT}: kernels start there.`);
        const running = new Set();
        const connected = Kernel.connect(notebook.uri.path.slice(ROOT.length), () => {
            kernels.delete(key);
            for (const stop of running) stop(new Error("The kernel ended or was restarted."));
        });
        kernels.set(key, connected.then((kernel) => Object.assign(kernel, { running })));
        connected.catch(() => kernels.delete(key));
    }
    return kernels.get(key);
}

/** One output's forms as VS Code takes them. Widgets need a program in the page that is not here: their text is shown. */
function items(data) {
    return Object.entries(data)
        .filter(([mime]) => mime !== "application/vnd.jupyter.widget-view+json")
        .map(([mime, value]) => {
            if (/^(image\/(?!svg)|application\/pdf)/.test(mime)) return new vscode.NotebookCellOutputItem(Buffer.from(value, "base64"), mime);
            if (mime.endsWith("json") && typeof value !== "string") return vscode.NotebookCellOutputItem.json(value, mime);
            return vscode.NotebookCellOutputItem.text(Array.isArray(value) ? value.join("") : String(value), mime);
        });
}

/** Puts the messages that answer one cell into its output. The cell counts as running from the first of them. */
class Writer {
    constructor(execution) {
        Object.assign(this, { execution, stream: null, shown: new Map(), clear: false, done: null });
    }

    async begin() {
        this.execution.start(Date.now());
        await this.execution.clearOutput();
    }

    /** In the order of the messages, though VS Code's calls are asynchronous. */
    write(message) {
        this.done = (this.done ?? this.begin()).then(() => this.take(message)).catch((error) => console.error(error));
        return this.done;
    }

    async add(output) {
        this.stream = null;
        await this.execution.appendOutput(output);
    }

    async take({ msg_type: type, content }) {
        const { NotebookCellOutput: Output, NotebookCellOutputItem: Item } = vscode;
        if (this.clear && ["stream", "display_data", "execute_result", "error"].includes(type)) {
            this.clear = false;
            this.stream = null;
            await this.execution.clearOutput();
        }
        if (type === "execute_input") this.execution.executionOrder = content.execution_count;
        else if (type === "stream") {
            const item = content.name === "stderr" ? Item.stderr(content.text) : Item.stdout(content.text);
            if (this.stream?.name === content.name) return this.execution.appendOutputItems([item], this.stream.output);
            const output = new Output([item]);
            await this.add(output);
            this.stream = { name: content.name, output };
        } else if (type === "display_data" || type === "execute_result") {
            const output = new Output(items(content.data), content.metadata);
            if (content.transient?.display_id) this.shown.set(content.transient.display_id, output);
            await this.add(output);
        } else if (type === "update_display_data") {
            const output = this.shown.get(content.transient?.display_id);
            if (output) await this.execution.replaceOutputItems(items(content.data), output);
        } else if (type === "error") {
            await this.add(new Output([Item.error({ name: content.ename, message: content.evalue, stack: content.traceback.join("\n") })]));
        } else if (type === "clear_output") {
            this.clear = content.wait;
            this.stream = null;
            if (!content.wait) await this.execution.clearOutput();
        }
        return undefined;
    }
}

/** Run one cell. The kernel has answered when its reply and its `idle` have come, in whichever order. */
function run(kernel, cell, execution) {
    const writer = new Writer(execution);
    return new Promise((resolve) => {
        let reply = null;
        let idle = false;
        const end = (error) => {
            if (!kernel.running.delete(end)) return;
            kernel.forget(id);
            const last = error
                ? { msg_type: "error", content: { ename: error.name, evalue: error.message, traceback: [] } }
                : { msg_type: "status" };
            // A cell after one that failed was not run: it neither succeeded nor failed.
            const success = error ? false : { ok: true, error: false }[reply.status];
            writer.write(last).then(() => {
                execution.end(success, Date.now());
                resolve();
            });
        };
        const content = { code: cell.document.getText(), silent: false, store_history: true, user_expressions: {}, allow_stdin: true, stop_on_error: true };
        const id = kernel.send("shell", "execute_request", content, async (message) => {
            if (message.msg_type === "execute_reply") reply = message.content;
            else if (message.msg_type === "status" && message.content.execution_state === "idle") idle = true;
            else if (message.msg_type === "input_request") {
                const { prompt, password } = message.content;
                const value = (await vscode.window.showInputBox({ prompt, password, ignoreFocusOut: true })) ?? "";
                kernel.send("stdin", "input_reply", { status: "ok", value }, null, message.header);
            } else writer.write(message);
            if (reply && idle) end();
        });
        kernel.running.add(end);
    });
}

async function runAll(cells, notebook, controller) {
    // All of them wait visibly, and the kernel has them in order: one that fails ends those after it.
    const waiting = cells.map((cell) => [cell, controller.createNotebookCellExecution(cell)]);
    let failed = null;
    const kernel = await Promise.resolve().then(() => kernelOf(notebook)).catch((error) => void (failed = error));
    await Promise.all(
        waiting.map(async ([cell, execution]) => {
            if (kernel) return run(kernel, cell, execution);
            execution.start(Date.now());
            await execution.replaceOutput(new vscode.NotebookCellOutput([vscode.NotebookCellOutputItem.error(failed)]));
            return execution.end(false, Date.now());
        }),
    );
}

/** What the kernel would complete: names that exist only while it runs, such as a table's columns. */
async function complete(document, position) {
    const notebook = vscode.workspace.notebookDocuments.find((one) => one.getCells().some((cell) => cell.document === document));
    const kernel = notebook && (await kernels.get(notebook.uri.toString()));
    if (!kernel || kernel.running.size) return [];
    const code = document.getText();
    const offset = document.offsetAt(position);
    // The protocol counts characters, VS Code UTF-16 units.
    const place = [...code.slice(0, offset)].length;
    const { matches = [], cursor_start: begin } = await kernel.request("complete_request", { code, cursor_pos: place });
    const start = document.positionAt([...code].slice(0, begin).join("").length);
    return matches.map((label) =>
        Object.assign(new vscode.CompletionItem(label, vscode.CompletionItemKind.Value), { range: new vscode.Range(start, position), sortText: `zz${label}` }),
    );
}

function register(context) {
    const controller = vscode.notebooks.createNotebookController("devenv", TYPE, "Python (this environment)");
    controller.supportedLanguages = ["python", "raw"];
    controller.supportsExecutionOrder = true;
    controller.description = "/opt/venv";
    controller.executeHandler = runAll;
    controller.interruptHandler = async (notebook) => (await kernels.get(notebook.uri.toString()))?.interrupt();
    const prefer = (notebook) => {
        if (notebook.notebookType === TYPE) controller.updateNotebookAffinity(notebook, vscode.NotebookControllerAffinity.Preferred);
    };
    vscode.workspace.notebookDocuments.forEach(prefer);
    context.subscriptions.push(
        controller,
        vscode.workspace.onDidOpenNotebookDocument(prefer),
        // The kernel goes on, as when a tab of JupyterLab is closed.
        vscode.workspace.onDidCloseNotebookDocument(async (notebook) => (await kernels.get(notebook.uri.toString()))?.close()),
        vscode.languages.registerCompletionItemProvider({ notebookType: TYPE, language: "python" }, { provideCompletionItems: complete }, "."),
        vscode.commands.registerCommand("devenv.python.restartKernel", async () => {
            const notebook = vscode.window.activeNotebookEditor?.notebook;
            if (notebook) await (await kernels.get(notebook.uri.toString()))?.restart();
        }),
    );
}

module.exports = { register };
