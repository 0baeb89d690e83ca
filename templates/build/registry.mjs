// A package registry on loopback that serves a folder of tarballs, /NAME/-/FILE.tgz, to npm inside a build without
// network: ROOT PORT. npm checks every tarball against the integrity that its lock file gives.
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'

const [root, port] = process.argv.slice(2)
http.createServer((request, response) => {
  const name = decodeURIComponent(new URL(request.url, 'http://localhost').pathname)
  const file = path.join(root, path.normalize(name))
  fs.stat(file, (error, found) => {
    if (error || !found.isFile()) {
      console.error(`not in the lock: ${name}`)
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': found.size })
    fs.createReadStream(file).pipe(response)
  })
}).listen(Number(port), '127.0.0.1', () => fs.writeFileSync('/tmp/registry-ready', ''))
