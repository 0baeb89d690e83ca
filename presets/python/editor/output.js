// A kernel's messages → the output of a cell, so that VS Code saves a notebook as Jupyter would.
"use strict";

const { NotebookCellOutput: Output, NotebookCellOutputItem: Item } = require("vscode");

const SHOWN = ["stream", "display_data", "execute_result", "error"];

/** One output's forms as VS Code takes them. Widgets need a program in the page that is not here: their text is shown. */
function items(data) {
    return Object.entries(data)
        .filter(([mime]) => mime !== "application/vnd.jupyter.widget-view+json")
        .map(([mime, value]) => {
            if (/^(image\/(?!svg)|application\/pdf)/.test(mime)) return new Item(Buffer.from(value, "base64"), mime);
            if (mime.endsWith("json") && typeof value !== "string") return Item.json(value, mime);
            return Item.text(Array.isArray(value) ? value.join("") : String(value), mime);
        });
}

/** Puts the messages that answer one cell into its output. The cell counts as running from the first of them. */
class Writer {
    /** `shown`: outputs that later messages, also of other cells, may replace, by their `display_id`. */
    constructor(execution, shown) {
        Object.assign(this, { execution, shown, stream: null, clear: false, done: null });
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
        if (this.clear && SHOWN.includes(type)) {
            this.clear = false;
            this.stream = null;
            await this.execution.clearOutput();
        }
        switch (type) {
            case "execute_input":
                this.execution.executionOrder = content.execution_count;
                break;
            case "stream":
                await this.text(content);
                break;
            case "display_data":
            case "execute_result": {
                const { data, metadata, transient, execution_count: executionCount } = content;
                const output = new Output(items(data), { outputType: type, metadata, transient, executionCount });
                if (transient?.display_id) this.shown.set(transient.display_id, output);
                await this.add(output);
                break;
            }
            case "update_display_data": {
                const output = this.shown.get(content.transient?.display_id);
                if (output) await this.execution.replaceOutputItems(items(content.data), output);
                break;
            }
            case "error": {
                const { ename: name, evalue: message, traceback } = content;
                await this.add(new Output([Item.error({ name, message, stack: traceback.join("\n") })], { outputType: type, originalError: content }));
                break;
            }
            case "clear_output":
                this.clear = content.wait;
                this.stream = null;
                if (!content.wait) await this.execution.clearOutput();
                break;
            default: // status, comm messages of widgets
        }
    }

    async text({ name, text }) {
        const item = name === "stderr" ? Item.stderr(text) : Item.stdout(text);
        if (this.stream?.name === name) return this.execution.appendOutputItems([item], this.stream.output);
        const output = new Output([item], { outputType: "stream" });
        await this.add(output);
        this.stream = { name, output };
        return undefined;
    }
}

module.exports = { Writer };
