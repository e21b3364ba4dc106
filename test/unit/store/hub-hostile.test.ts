// Owns the tests of hubs that mean no good: names that lead out of the folder, lists and redirects
// that lead elsewhere, answers without end.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { failure, listTree, makeHub } from '../../helpers/hub-fixture.ts';
import { HubServer, gitHash, sha256, smallModel, someBytes } from '../../helpers/hub-server.ts';

const TOKEN = 'hf_TheSecretOfThisTest';
const NAMES = [
  ...['../../../escaped.json', '/tmp/escaped.json', 'a/../../escaped.json', '..\\escaped.json'],
  ...[
    'C:\\escaped.json',
    'C:escaped.json',
    'config.json\0',
    '..',
    '.',
    '',
    'config.json/../escaped',
  ],
];

describe('a hub that means no good', () => {
  it('gets no file written by a name that leads elsewhere', async () => {
    await using hub = await makeHub();
    const content = Buffer.from('escaped');
    const oid = gitHash(content);
    const size = content.length;
    const strange = [null, 7, {}, { type: 'file', path: 8, size, oid }, { type: 'file' }];
    hub.server.content = {
      ...hub.server.content,
      extraEntries: [...strange, ...NAMES.map((path) => ({ type: 'file', path, size, oid }))],
    };
    hub.server.intercept = (seen, response) => {
      const isStrange = seen.path.includes('escaped');
      if (isStrange) response.end(content);
      return isStrange;
    };
    const model = await hub.fetch();
    expect(model.files).toHaveLength(4);
    expect(hub.server.paths().filter((path) => path.includes('escaped'))).toEqual([]);
    expect((await listTree(hub.home)).filter((path) => path.includes('escaped'))).toEqual([]);
  });

  it.each([
    ...NAMES.filter((name) => name !== ''),
    '../x.safetensors',
    'a\\b.safetensors',
    '/x.safetensors',
  ])('is refused when its index names %j as a shard', async (name) => {
    await using hub = await makeHub();
    const index = JSON.stringify({ weight_map: { a: 'model.safetensors', b: name } });
    hub.server.content.files.set('model.safetensors.index.json', Buffer.from(index));
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain('no plain file name');
    expect(hub.server.of('model.safetensors').filter(({ host }) => host === 'storage')).toEqual([]);
  });

  it.each([
    ['a hash that is a path', { oid: '../../../escaped', size: 4 }, 'hash ../../../escaped'],
    ['a hash of another kind', { oid: sha256(Buffer.from('x')), size: 4 }, 'hash '],
    ['no size', { oid: gitHash(Buffer.from('x')) }, 'size undefined'],
    ['a size that is no number', { oid: gitHash(Buffer.from('x')), size: -1 }, 'size -1'],
    [
      'a hash of weights that is a path',
      { oid: 'x', size: 4, lfs: { oid: '..', size: 4 } },
      'hash ..',
    ],
  ])('is refused when its list has %s', async (_, entry, says) => {
    await using hub = await makeHub();
    const extraEntries = [{ type: 'file', path: 'run.json', ...entry }];
    hub.server.content = { ...hub.server.content, extraEntries };
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(says);
    expect(await listTree(hub.home)).toEqual([]);
  });

  it.each([
    ['a commit that is a path', JSON.stringify({ sha: '../../../escaped' }), 'names no commit'],
    ['no commit', '{}', 'names no commit'],
    ['null', 'null', 'names no commit'],
    ['a page of a hotel', '<html>log in</html>', 'no JSON'],
  ])('is refused when it answers with %s', async (_, body, says) => {
    await using hub = await makeHub();
    hub.server.intercept = (_seen, response) => {
      response.end(body);
      return true;
    };
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(says);
    expect(await listTree(hub.home)).toEqual([]);
  });

  it('cannot have the memory filled by an answer without end', async () => {
    await using hub = await makeHub();
    let sent = 0;
    hub.server.intercept = (_, response) => {
      const more = (): void => {
        sent += 65_536;
        if (!response.destroyed && sent < 2e9) {
          response.write(Buffer.alloc(65_536, ' '), () => setImmediate(more));
        }
      };
      more();
      return true;
    };
    expect((await failure(hub.fetch())).message).toContain('has no end');
    expect(sent).toBeLessThan(2e8);
  });

  it('cannot send the list of files, and the token, to another host', async () => {
    await using hub = await makeHub();
    await using other = await HubServer.start(await smallModel());
    hub.server.intercept = (seen, response) => {
      if (seen.path.endsWith('tree/0123456789abcdef0123456789abcdef01234567?recursive=true')) {
        const next = seen.path.replace('?', '?cursor=3&');
        response.setHeader('link', `<${other.endpoint}${next}>; rel="next"`).end('[]');
        return true;
      }
      return false;
    };
    await hub.fetch({ env: { ...hub.env, HF_TOKEN: TOKEN } });
    expect(other.requests).toEqual([]);
    expect(hub.server.paths().filter((path) => path.includes('cursor=3'))).toHaveLength(1);
  });

  it('gets the token on its own host only, wherever it sends us', async () => {
    await using hub = await makeHub();
    await using other = await HubServer.start(await smallModel());
    hub.server.intercept = (seen, response) => {
      if (seen.path.startsWith('/moved')) return false;
      const isHome = seen.path.startsWith('/api') || seen.path.includes('moved=yes');
      const place = isHome ? other.endpoint : hub.server.endpoint;
      const path = isHome ? seen.path : `${seen.path}?moved=yes`;
      if (seen.host === 'storage') return false;
      response.writeHead(307, { location: `${place}${path}` }).end();
      return true;
    };
    await hub.fetch({ env: { ...hub.env, HF_TOKEN: TOKEN } });
    expect(other.requests.length).toBeGreaterThan(5);
    expect(JSON.stringify(other.requests)).not.toContain(TOKEN);
    const own = hub.server.requests.filter(({ host }) => host === 'hub');
    expect(own.every(({ headers }) => headers.authorization === `Bearer ${TOKEN}`)).toBe(true);
  });

  it.each([
    ['file:///etc/passwd', 'not safe'],
    ['http://user:word@127.0.0.1/', 'not safe'],
    ['http://', 'not safe'],
    ['/api/models/org/small/revision/main', 'round in circles'],
  ])('is refused when it sends us to %s', async (location, says) => {
    await using hub = await makeHub();
    hub.server.intercept = (_, response) => {
      response.writeHead(302, { location }).end();
      return true;
    };
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(says);
    expect(hub.server.requests.length).toBeLessThan(12);
  });

  it('cannot have its list of files go on for ever', async () => {
    await using hub = await makeHub();
    hub.server.intercept = (seen, response) => {
      if (!seen.path.includes('/tree/')) return false;
      response.setHeader('link', `<${hub.server.endpoint}${seen.path}>; rel="next"`).end('[]');
      return true;
    };
    expect((await failure(hub.fetch())).message).toContain('has no end');
  });

  it('says before the weights come that a model is of another kind, or no model', async () => {
    await using hub = await makeHub();
    const { files } = hub.server.content;
    files.set('config.json', Buffer.from('{"model_type": "llama"}'));
    expect((await failure(hub.fetch())).message).toContain('"llama"');
    expect(hub.server.paths('storage')).toEqual([]);
    files.delete('config.json');
    expect((await failure(hub.fetch())).message).toContain('org/small has no config.json');
    const again = await smallModel();
    again.files.delete('model.safetensors');
    hub.server.content = again;
    expect((await failure(hub.fetch())).message).toContain('lacks weights');
    const index = { weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors' } };
    again.files.set('model.safetensors.index.json', Buffer.from(JSON.stringify(index)));
    again.files.set('model-1.safetensors', someBytes(9));
    expect((await failure(hub.fetch())).message).toContain('no model-2.safetensors');
  });

  it('cannot have a snapshot point out of the cache: a strange link there is put right', async () => {
    await using hub = await makeHub();
    const outside = join(hub.home, 'outside.json');
    await writeFile(outside, 'mine');
    const snapshot = join(hub.model, 'snapshots', hub.server.content.commit);
    await mkdir(snapshot, { recursive: true });
    const { symlink } = await import('node:fs/promises');
    await symlink(outside, join(snapshot, 'config.json'));
    await hub.fetch();
    expect(await readFile(outside, 'utf8')).toBe('mine');
    const config = await readFile(join(snapshot, 'config.json'));
    expect(config.equals(hub.server.content.files.get('config.json') ?? Buffer.alloc(0))).toBe(
      true,
    );
  });
});
