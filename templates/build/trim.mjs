// Let npm leave alone what the editor does not need here: trim.mjs EDITOR TARBALLS.
import fs from 'node:fs'
import path from 'node:path'

const [editor, tarballs] = process.argv.slice(2)
// Only the AI agents use these: the lock leaves them out, and so does npm.
const agents = /^node_modules\/(@github\/copilot-sdk|@microsoft\/mxc-sdk|@vscode\/sqlite3)/
// On Linux what these compile is empty or never loaded.
const idle = ['@vscode/deviceid', '@vscode/fs-copyfile', '@vscode/windows-process-tree', '@vscode/windows-registry']

const folder = path.join(editor, 'lib/vscode')
const [manifest, wrap] = ['package.json', 'npm-shrinkwrap.json'].map((name) => path.join(folder, name))
const [own, locked] = [manifest, wrap].map((file) => JSON.parse(fs.readFileSync(file, 'utf8')))
for (const [place, entry] of Object.entries(locked.packages)) {
  const isLocked = entry.resolved && fs.existsSync(path.join(tarballs, new URL(entry.resolved).pathname))
  const name = place.replace(/^.*node_modules\//, '')
  if (agents.test(place) && !isLocked) {
    delete locked.packages[place]
    if (place === `node_modules/${name}`) for (const one of [own, locked.packages['']]) delete one.dependencies[name]
  } else if (idle.includes(name)) {
    own.allowScripts = { ...own.allowScripts, [`${name}@${entry.version}`]: false }
  }
}
fs.writeFileSync(manifest, JSON.stringify(own))
fs.writeFileSync(wrap, JSON.stringify(locked))
