// A client of the environment's Jupyter server: sessions and the messages of one kernel, in the forms of Jupyter's REST API
// (https://jupyter-server.readthedocs.io/en/latest/developers/rest-api.html) and messaging protocol
// (https://jupyter-client.readthedocs.io/en/stable/messaging.html).
"use strict";

const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const http = require("node:http");
const { createRequire } = require("node:module");

const SOCKET = "/run/devenv/jupyter.sock";
// Where a reverse proxy shows the pages at a path, the server answers below it.
const PROXY = process.env.DEVENV_BASE_PATH;
const BASE = PROXY ? `${new URL(PROXY, "http://localhost").pathname.replace(/\/$/, "")}/jupyter` : "";
const ws = () => createRequire("/opt/npm/node_modules/")("ws");
const headers = () => ({ Authorization: `token ${readFileSync("/run/devenv/token", "utf8").trim()}` });

/** The JSON answer of the server to one request. */
function ask(method, path, body) {
    return new Promise((resolve, reject) => {
        const options = { socketPath: SOCKET, method, path: `${BASE}${path}`, headers: { ...headers(), "Content-Type": "application/json" } };
        const request = http.request(options, (answer) => {
            const parts = [];
            answer.on("data", (part) => parts.push(part));
            answer.on("error", reject);
            answer.on("end", () => {
                const text = Buffer.concat(parts).toString();
                if (answer.statusCode >= 400) reject(new Error(`Jupyter answers ${answer.statusCode} to ${method} ${path}: ${text}`));
                else resolve(text ? JSON.parse(text) : null);
            });
        });
        request.on("error", (error) => reject(new Error(`Jupyter does not answer (${error.message}): devenv restart NAME jupyter`)));
        request.end(body && JSON.stringify(body));
    });
}

const titled = (path) => ({ path, name: path.split("/").pop(), type: "notebook" });

/** The server's sessions of notebooks: which path has which kernel. */
async function sessions() {
    return (await ask("GET", "/api/sessions")).filter((one) => one.type === "notebook");
}

/** Restart the kernel of a path; false where it has none. */
async function restart(path) {
    const found = (await sessions()).find((one) => one.path === path);
    if (found) await ask("POST", `/api/kernels/${found.kernel.id}/restart`);
    return Boolean(found);
}

/** End the kernel of a path; false where it has none. */
async function shutDown(path) {
    const found = (await sessions()).find((one) => one.path === path);
    if (found) await ask("DELETE", `/api/sessions/${found.id}`);
    return Boolean(found);
}

/** Let the kernels of a file, or of all below a folder, follow it to another place. */
async function move(before, after) {
    for (const one of await sessions()) {
        if (one.path !== before && !one.path.startsWith(`${before}/`)) continue;
        await ask("PATCH", `/api/sessions/${one.id}`, titled(after + one.path.slice(before.length)));
    }
}

/** The kernel of one notebook, the same that JupyterLab has for that file. */
class Kernel {
    /** `path`: of the notebook, below the server's folder. `ended`: called once, when the connection is gone. */
    static async connect(path, ended) {
        const { kernel } = await ask("POST", "/api/sessions", { ...titled(path), kernel: { name: "python3" } });
        const session = randomUUID();
        const address = `ws+unix://${SOCKET}:${BASE}/api/kernels/${kernel.id}/channels?session_id=${session}`;
        const socket = new (ws())(address, { headers: headers(), maxPayload: 0 });
        await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
        return new Kernel(kernel.id, session, socket, ended);
    }

    constructor(id, session, socket, ended) {
        Object.assign(this, { id, session, socket, ended, listeners: new Map(), running: new Set(), shown: new Map() });
        socket.on("message", (data, binary) => {
            if (binary) return; // comm messages with buffers, for widgets
            const message = JSON.parse(data);
            this.listeners.get(message.parent_header?.msg_id)?.(message);
            if (message.msg_type === "status" && /^(restarting|autorestarting|dead)$/.test(message.content.execution_state)) this.close();
        });
        socket.on("error", () => this.close());
        socket.on("close", () => this.close());
    }

    /** Send one message; `listen` gets every message that answers it, until `forget`. */
    send(channel, type, content, listen, parent = {}) {
        const id = randomUUID();
        if (listen) this.listeners.set(id, listen);
        const header = { msg_id: id, msg_type: type, session: this.session, username: "dev", version: "5.3", date: new Date().toISOString() };
        this.socket.send(JSON.stringify({ channel, header, parent_header: parent, metadata: {}, content, buffers: [] }));
        return id;
    }

    forget(id) {
        this.listeners.delete(id);
    }

    /** The content of the reply to one request, or null where the connection ends before. */
    request(type, content) {
        return new Promise((resolve) => {
            const end = (_, answer = null) => {
                if (!this.running.delete(end)) return;
                this.forget(id);
                resolve(answer);
            };
            const id = this.send("shell", type, content, (message) => {
                if (message.msg_type === type.replace("_request", "_reply")) end(null, message.content);
            });
            this.running.add(end);
        });
    }

    interrupt() {
        return ask("POST", `/api/kernels/${this.id}/interrupt`);
    }

    /** End the connection, and with an error what waits for an answer. */
    close() {
        if (!this.ended) return;
        const { ended } = this;
        this.ended = null;
        this.socket.close();
        ended();
        for (const end of [...this.running]) end(new Error("The kernel ended or was restarted."));
    }
}

module.exports = { Kernel, move, restart, shutDown };
