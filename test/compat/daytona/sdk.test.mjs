// Copyright The sandbox-operator Authors.
// SPDX-License-Identifier: Apache-2.0
//
// What Daytona's own SDK can do with Daytona it can do with the fake: DAYTONA_API_URL and DAYTONA_API_KEY lead to it, and NEWEST says
// whether it is like the newest release.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Daytona, Image } from '@daytona/sdk'

const newest = process.env.NEWEST === '1'
const daytona = new Daytona({ useDeprecatedPolling: true, target: 'eu' })
let box

before(async () => {
  box = await daytona.create({
    name: 'shared', language: 'python', labels: { purpose: 'shared', odd: 'a b&c' }, envVars: { FROM_CREATE: "it's" },
  })
})

after(async () => {
  await box.delete(60, true)
})

const status = (code) => (error) => error.statusCode === code || assert.fail(`${error.statusCode}: ${error.message}`)

// until waits for what a list shows late.
async function until(holds) {
  for (let tries = 0; !(await holds()); tries++) {
    assert.ok(tries < 200, 'it never holds')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

async function idsOf(query) {
  const ids = []
  for await (const one of daytona.list(query)) ids.push(one.id)
  return ids
}

test('a new sandbox runs, and says what it is', async () => {
  assert.equal(box.state, 'started')
  assert.equal(box.target, 'eu')
  assert.equal(box.labels.purpose, 'shared')
  assert.equal(await box.getUserHomeDir(), '/home/daytona')
  assert.equal(await box.getWorkDir(), '/home/daytona')
  const same = await daytona.get('shared')
  assert.equal(same.id, box.id)
})

test('a command gives its exit code, and both streams as one', async () => {
  const result = await box.process.executeCommand('echo "$FROM_CREATE $OWN"; echo problem >&2; pwd; exit 3', '/tmp', { OWN: 'x' })
  assert.equal(result.exitCode, 3)
  assert.equal(result.result, "it's x\nproblem\n/tmp\n")
  assert.equal((await box.process.executeCommand('no-such-program')).exitCode, 127)
  assert.equal((await box.process.executeCommand('kill -9 $$')).exitCode, -1)
  assert.equal((await box.process.executeCommand('true', '/no/such/dir')).exitCode, -1)
})

test('a program that reads its input eats the rest of the command', async () => {
  assert.equal((await box.process.executeCommand('cat\necho after')).result.trim(), 'echo after')
})

test('a command that takes too long is refused with 408', async () => {
  await assert.rejects(box.process.executeCommand('sleep 60', undefined, undefined, 1), status(408))
})

test('code runs in the language of the sandbox', async () => {
  const result = await box.process.codeRun('import sys\nprint("hello", sys.argv[1])', { argv: ['world'], env: {} })
  assert.equal(result.exitCode, 0)
  assert.equal(result.result.trim(), 'hello world')
  const failed = await box.process.codeRun('raise ValueError("no")')
  assert.equal(failed.exitCode, 1)
  assert.match(failed.result, /ValueError: no/)
})

test('a session keeps its shell, splits streams, and loses a bare exit', async () => {
  await box.process.createSession('one')
  await assert.rejects(box.process.createSession('one'), status(409))
  await box.process.executeSessionCommand('one', { command: 'cd /tmp; KEPT=yes' })
  const answer = await box.process.executeSessionCommand('one', { command: 'pwd; echo $KEPT; echo problem >&2; ( exit 9 )' })
  assert.equal(answer.exitCode, 9)
  assert.equal(answer.stdout, '/tmp\nyes\n')
  assert.equal(answer.stderr, 'problem\n')
  const session = await box.process.getSession('one')
  assert.equal(session.commands.length, 2)
  assert.ok((await box.process.listSessions()).some((other) => other.sessionId === 'one'))

  const lost = await box.process.executeSessionCommand('one', { command: 'exit 5', runAsync: true })
  await until(async () => {
    try {
      await box.process.executeSessionCommand('one', { command: 'true', runAsync: true })
      return false
    } catch (error) {
      return status(500)(error)
    }
  })
  assert.equal((await box.process.getSessionCommand('one', lost.cmdId)).exitCode, undefined)
  await box.process.deleteSession('one')
  await assert.rejects(box.process.getSession('one'), status(404))
  await assert.rejects(box.process.executeSessionCommand('one', { command: 'true' }), status(500))
})

test('a command of a session is followed while it runs, and fed', async () => {
  await box.process.createSession('two')
  const command = await box.process.executeSessionCommand('two', {
    command: 'echo first; read -r line; echo "got $line" >&2; sleep 0.2', runAsync: true, suppressInputEcho: true,
  })
  await box.process.sendSessionCommandInput('two', command.cmdId, 'words')
  let stdout = ''
  let stderr = ''
  await box.process.getSessionCommandLogs('two', command.cmdId, (text) => { stdout += text }, (text) => { stderr += text })
  assert.equal(stdout, 'first\n')
  assert.equal(stderr, 'got words\n')
  const ended = await box.process.executeSessionCommand('two', { command: '( printf no-newline )', runAsync: true })
  await until(async () => (await box.process.getSessionCommand('two', ended.cmdId)).exitCode !== undefined)
  const logs = await box.process.getSessionCommandLogs('two', ended.cmdId)
  assert.equal(logs.stdout, 'no-newline\n')
  await box.process.deleteSession('two')
})

test('files are written, read, listed, moved and removed, byte for byte', async () => {
  const content = randomBytes(200_000)
  await box.fs.uploadFile(content, 'work/odd name.bin')
  assert.deepEqual(await box.fs.downloadFile('/home/daytona/work/odd name.bin'), content)
  await box.fs.uploadFiles([{ source: Buffer.from('a'), destination: 'work/a' }, { source: Buffer.from('b'), destination: 'work/b' }])
  const names = (await box.fs.listFiles('work')).map((file) => file.name).sort()
  assert.deepEqual(names, ['a', 'b', 'odd name.bin'])
  const info = await box.fs.getFileDetails('work/odd name.bin')
  assert.equal(info.size, content.length)
  assert.equal(info.isDir, false)
  await box.fs.createFolder('work/made/deep', '755')
  await box.fs.createFolder('work/made/deep', '755')
  await box.fs.setFilePermissions('work/a', { mode: '600' })
  assert.equal((await box.fs.getFileDetails('work/a')).permissions, '0600')
  await box.fs.moveFiles('work/a', 'work/moved')
  await assert.rejects(box.fs.moveFiles('work/b', 'work/moved'), status(409))
  await assert.rejects(box.fs.getFileDetails('work/a'), status(404))
  assert.deepEqual((await box.fs.searchFiles('work', 'mov*')).files.map((name) => name.split('/').pop()), ['moved'])
  assert.equal((await box.fs.findFiles('work', 'a'))[0].line, 1)
  await assert.rejects(box.fs.deleteFile('work'), status(400))
  await box.fs.deleteFile('work', true)
  await assert.rejects(box.fs.listFiles('work'), status(404))
  await assert.rejects(box.fs.downloadFile('nothing'))
})

test('a port is reached with a token, or with a signed URL until that ends', async () => {
  const server = 'python3 -m http.server 8080 --bind 127.0.0.1 --directory /home/daytona >/dev/null 2>&1 &'
  await box.fs.uploadFile(Buffer.from('page'), 'page.txt')
  await box.process.executeCommand(server)
  const link = await box.getPreviewLink(8080)
  const get = (url, headers) => fetch(`${url}/page.txt`, { headers, redirect: 'manual' })
  await until(async () => (await get(link.url, { 'x-daytona-preview-token': link.token })).status === 200)
  assert.equal(await (await get(link.url, { 'x-daytona-preview-token': link.token })).text(), 'page')
  assert.equal((await get(link.url, {})).status, 307)
  const nobody = await box.getPreviewLink(8081)
  assert.equal((await get(nobody.url, { 'x-daytona-preview-token': nobody.token })).status, 502)
  const signed = await box.getSignedPreviewUrl(8080, 300)
  assert.equal(await (await get(signed.url, {})).text(), 'page')
  await box.expireSignedPreviewUrl(8080, signed.token)
  assert.equal((await get(signed.url, {})).status, 307)
})

test('sandboxes are found by their labels, page by page', async () => {
  const others = await Promise.all([1, 2, 3].map((number) => daytona.create({ labels: { purpose: 'many', number: `${number}` } })))
  const ids = others.map((other) => other.id).sort()
  await until(async () => (await idsOf({ labels: { purpose: 'many' } })).length === 3)
  assert.deepEqual((await idsOf({ labels: { purpose: 'many' }, limit: 2 })).sort(), ids)
  assert.deepEqual(await idsOf({ labels: { purpose: 'shared', odd: 'a b&c' } }), [box.id])
  await others[0].setLabels({ purpose: 'another' })
  await until(async () => (await idsOf({ labels: { purpose: 'many' } })).length === 2)
  await Promise.all(others.map((other) => other.delete(60, true)))
  await until(async () => (await idsOf({ labels: { purpose: 'many' } })).length === 0)
  await assert.rejects(daytona.get(others[0].id), status(404))
})

test('a sandbox is stopped, archived and started with its files', async () => {
  const other = await daytona.create({ autoStopInterval: 30, autoArchiveInterval: 60, autoDeleteInterval: 120 })
  await other.fs.uploadFile(Buffer.from('kept'), 'file')
  await other.stop()
  assert.equal(other.state, 'stopped')
  await assert.rejects(other.process.executeCommand('true'), /Is the Sandbox started/)
  await other.archive()
  await until(async () => { await other.refreshData(); return other.state === 'archived' })
  await assert.rejects(other.process.executeCommand('true'), status(404))
  await other.start()
  assert.equal((await other.fs.downloadFile('file')).toString(), 'kept')
  await other.setAutostopInterval(5)
  await other.setAutoArchiveInterval(0)
  await other.setAutoDeleteInterval(-1)
  await other.refreshActivity()
  await other.refreshData()
  assert.equal(other.autoStopInterval, 5)
  assert.equal(other.autoDeleteInterval, -1)
  await assert.rejects(other.pause(), status(422))
  await other.delete(60, true)
})

test('an image is built', async () => {
  const built = await daytona.create({ image: Image.base('debian:12'), resources: { cpu: 2, memory: 4, disk: 8 } })
  assert.equal(built.state, 'started')
  assert.equal(built.cpu, 2)
  assert.equal((await built.process.executeCommand('echo built')).result, 'built\n')
  await built.delete(60, true)
})

test('a snapshot of a sandbox is the source of another', async () => {
  await box.fs.uploadFile(Buffer.from('saved'), 'saved.txt')
  await box.createSnapshot('of-shared')
  assert.equal((await daytona.snapshot.get('of-shared')).state, 'active')
  const copy = await daytona.create({ snapshot: 'of-shared' })
  assert.equal((await copy.fs.downloadFile('saved.txt')).toString(), 'saved')
  await copy.delete(60, true)
})

test('what can not be is refused', async () => {
  await assert.rejects(daytona.create({ name: 'shared' }), status(409))
  await assert.rejects(daytona.create({ snapshot: 'none-such' }), status(400))
  await assert.rejects(daytona.create({ snapshot: 'failing' }), /failed to start/)
  await assert.rejects(daytona.get('none-such'), status(404))
  const stranger = new Daytona({ apiKey: 'dtn_wrong', useDeprecatedPolling: true })
  await assert.rejects(stranger.get('shared'), status(401))
})

test('an ephemeral sandbox goes when it stops', async () => {
  const other = await daytona.create({ ephemeral: true })
  assert.equal(other.autoDeleteInterval, 0)
  await other.stop()
  await until(async () => {
    try { await daytona.get(other.id); return false } catch (error) { return status(404)(error) }
  })
})

test('a time to live is there in the newest release alone', async () => {
  const other = await daytona.create({ ttlMinutes: 10 })
  if (newest) {
    assert.ok(Math.abs(new Date(other.autoDestroyAt) - Date.now() - 600_000) < 30_000)
    await other.setTtl(0)
  } else {
    assert.equal(other.autoDestroyAt, undefined)
    await assert.rejects(other.setTtl(5), status(404))
  }
  await other.delete(60, true)
})
