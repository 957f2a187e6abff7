import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { unpackImage } from '../src/translate/unpack.js';
import { acpi, tempFile } from './files.js';
import { MACHINES } from './machines.js';
import { iommukit, lines } from './support.js';

/** An ELF core with one page of zeros at address 0. */
function smallImage(): Uint8Array {
  const file = new Uint8Array(64 + 56 + 4096);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  for (const [at, value] of [
    [16, 4],
    [54, 56],
    [56, 1],
  ] as const)
    view.setUint16(at, value, true);
  view.setUint32(32, 64, true);
  view.setUint32(64, 1, true);
  for (const [at, value] of [
    [8, 120],
    [32, 4096],
    [40, 4096],
  ] as const)
    view.setUint32(64 + at, value, true);
  return file;
}

/** VT-d registers at `base`: with translation on every request faults, for the root table is all zeros. */
const vtd = (base: number, on: boolean): string =>
  [
    `${base.toString(16)}: 0x00000010 0x00000000 0x222f0606 0x00d2008c`,
    `${(base + 16).toString(16)}: 0x00000f4a 0x00000000 0x00000000 ${on ? '0xc0000000' : '0x00000000'}`,
    `${(base + 32).toString(16)}: 0x00000000 0x00000000`,
  ].join('\n');

const image = (): string => tempFile('small.elf', smallImage());
const on = (): string => tempFile('on.txt', vtd(0xfed9_0000, true));

const translate = (...argv: string[]) => iommukit('translate', '--backend', 'vtd', ...argv);
const asked = (requests: string, ...more: string[]) =>
  translate('--image', image(), '--registers', on(), '--requests', tempFile('requests.txt', requests), ...more);

describe('iommukit translate', () => {
  const { smmuv3 } = MACHINES;
  const requests = smmuv3.image.replace('mem.elf.xz', 'requests.txt');
  const real = (...more: string[]) =>
    iommukit(
      ...['translate', '--backend', 'smmuv3', '--image', smmuv3.image, '--registers', ...smmuv3.registers],
      ...['--requests', requests, '--platform', smmuv3.firmware, ...more],
    );

  it('prints a table for people, as the README of the project shows it', async () => {
    const { code, stdout } = await real();
    expect(code).toBe(0);
    const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
    expect(readme).toContain(stdout);
  });

  it('prints JSON lines for programs', async () => {
    const { stdout } = await real('--json');
    expect(lines(stdout).filter((line) => line !== '')).toEqual([
      '{"device":"0000:00:06.0","iova":"0x30100010","access":"read","ok":true,"pa":"0x49878010","fault":null}',
      '{"device":"0000:00:06.0","iova":"0x30100010","access":"write","ok":false,"pa":null,"fault":{"reason":19,"name":"F_PERMISSION"}}',
      '{"device":"0000:00:06.0","iova":"0x400d3c12","access":"write","ok":true,"pa":"0x408d3c12","fault":null}',
      '{"device":"0000:00:06.0","iova":"0x40200000","access":"read","ok":false,"pa":null,"fault":{"reason":16,"name":"F_TRANSLATION"}}',
      '{"device":"0000:00:05.0","iova":"0xdeadbeef0","access":"write","ok":false,"pa":null,"fault":{"reason":16,"name":"F_TRANSLATION"}}',
      '{"device":"0000:03:00.0","iova":"0x12345000","access":"read","ok":true,"pa":"0x12345000","fault":null}',
    ]);
  });

  it('answers a request with a PASID with the same fields, and ends with 0 although everything faults', async () => {
    const { code, stdout } = await asked('00:03.0 0x1000 read 5\n00:03.0 0x1000 write\n', '--json');
    expect(code).toBe(0);
    expect(
      lines(stdout)
        .slice(0, 2)
        .map((line) => JSON.parse(line)),
    ).toEqual([
      {
        device: '0000:00:03.0',
        iova: '0x1000',
        access: 'read',
        ok: false,
        pa: null,
        fault: { reason: 0x31, name: 'TTM_PASID' },
      },
      {
        device: '0000:00:03.0',
        iova: '0x1000',
        access: 'write',
        ok: false,
        pa: null,
        fault: { reason: 1, name: 'ROOT_NOT_PRESENT' },
      },
    ]);
  });

  it('answers a request file of any size line by line', async () => {
    const many = 30_000;
    const { code, stdout } = await asked('00:03.0 0x1000 read\n'.repeat(many), '--json');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toHaveLength(many + 1);
  });

  it('unpacks without the xz program too', async () => {
    const path = process.env['PATH'];
    const withProgram = await unpackImage(smmuv3.image);
    process.env['PATH'] = '/nowhere';
    try {
      const without = await unpackImage(smmuv3.image);
      expect(without.size).toBe(withProgram.size);
      expect([...without.pages.keys()]).toEqual([...withProgram.pages.keys()]);
      const bytes = [withProgram, without].map((sparse) => {
        const into = new Uint8Array(4096);
        sparse.read([...sparse.pages.keys()][7]! * 4096, into);
        return [...into];
      });
      expect(bytes[0]).toEqual(bytes[1]);
    } finally {
      process.env['PATH'] = path;
    }
  });
});

describe('which unit', () => {
  const two = (): string => tempFile('two.txt', `${vtd(0xfed9_0000, true)}\n${vtd(0xfed9_1000, false)}\n`);
  const ask = (...more: string[]) =>
    translate(
      '--image',
      image(),
      '--registers',
      two(),
      '--requests',
      tempFile('one.txt', '00:02.0 0x1000 read\n'),
      '--json',
      ...more,
    );

  it('has to be said where the registers of several are there', async () => {
    const { code, stderr } = await ask();
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /one\.txt:1: there are registers of several IOMMUs \(0xfed90000, 0xfed91000\): say which one with --unit/,
    );
  });

  it('is said by --unit', async () => {
    expect((await ask('--unit', '0xfed91000')).stdout).toContain('"ok":true,"pa":"0x1000"');
    expect((await ask('--unit', '0xfed90000')).stdout).toContain('ROOT_NOT_PRESENT');
  });

  it('must be one whose registers are there', async () => {
    const { code, stderr } = await ask('--unit', '0xfed92000');
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /0000:00:02\.0 is behind the IOMMU at 0xfed92000, whose registers were not given; there are those at 0xfed90000/,
    );
  });

  it('is said by a DMAR', async () => {
    const dmar = tempFile('DMAR.aml', acpi('dmar'));
    const { code, stdout, stderr } = await ask('--platform', dmar);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).not.toBe('');
  });
});

describe('input of iommukit translate that cannot be used', () => {
  const xz = (bytes: Uint8Array): string => tempFile('bad.elf.xz', bytes);
  const good = readFileSync(MACHINES.vtd.image);

  it.each<[string, () => Promise<{ code: number; stderr: string }>, RegExp]>([
    [
      'no image',
      () => translate('--image', './none.elf', '--registers', on(), '--requests', on()),
      /\.\/none\.elf cannot be read: there is no such file/,
    ],
    [
      'a folder',
      () => translate('--image', '.', '--registers', on(), '--requests', on()),
      /\. cannot be read: it is a directory/,
    ],
    [
      'a device',
      () => translate('--image', '/dev/zero', '--registers', on(), '--requests', on()),
      /\/dev\/zero cannot be read: it is no regular file/,
    ],
    [
      'no ELF',
      () => translate('--image', on(), '--registers', on(), '--requests', on()),
      /on\.txt: it does not begin as an ELF file; give an ELF core/,
    ],
    [
      'half an xz file',
      () => translate('--image', xz(good.subarray(0, 20_000)), '--registers', on(), '--requests', on()),
      /bad\.elf\.xz cannot be unpacked: .*(end|Unexpected)/,
    ],
    [
      'no xz file',
      () => translate('--image', xz(good.subarray(100)), '--registers', on(), '--requests', on()),
      /bad\.elf\.xz cannot be unpacked: .*format/,
    ],
    [
      'registers of another kind',
      () =>
        iommukit(
          'translate',
          '--backend',
          'smmuv3',
          '--image',
          image(),
          '--registers',
          on(),
          '--requests',
          tempFile('r.txt', '00:01.0 0x0 read'),
        ),
      /the register IDR|cannot be modelled|cannot have/,
    ],
    [
      'no registers',
      () => translate('--image', image(), '--registers', tempFile('none.txt', '# nothing\n'), '--requests', on()),
      /hold no registers/,
    ],
    [
      'a register that is missing',
      () =>
        translate(
          '--image',
          image(),
          '--registers',
          tempFile('few.txt', 'fed90000: 0x10'),
          '--requests',
          tempFile('r.txt', '00:01.0 0x0 read'),
        ),
      /few\.txt: the register CAP \(0xfed90008\) is missing/,
    ],
    [
      'a request',
      () => asked('00:01.0 0x0 read\n\n00:01.0 0x0 look\n'),
      /requests\.txt:3: 'look' is neither read nor write/,
    ],
    [
      'a request file without lines',
      () => asked('x'.repeat(100_000)),
      /requests\.txt:1: the line has more than 4096 bytes/,
    ],
    ['an address of a unit', () => asked('', '--unit', 'first'), /give the address of its registers/],
    ['firmware', () => asked('', '--platform', on()), /on\.txt: .*EBADMAGIC/],
  ])('%s: is told, and ends with 2', async (_what, call, message) => {
    const { code, stderr } = await call();
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n {4}at |defect/);
    expect(code).toBe(2);
  });

  it('is told after the answers to what came before it', async () => {
    const { code, stdout } = await asked('00:01.0 0x0 read\nnonsense\n', '--json');
    expect(code).toBe(2);
    expect(lines(stdout)[0]).toContain('ROOT_NOT_PRESENT');
  });

  it('may be a hostile image: 200 damaged ones end in answers or clear errors', async () => {
    let state = 12345;
    const below = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % n;
    };
    const registers = on();
    const requests = tempFile('few.txt', '00:01.0 0x0 read\n00:01.0 0x5000 write\n');
    for (let n = 0; n < 200; n++) {
      const bytes = smallImage();
      for (let times = 1 + below(4); times > 0; times--) bytes[below(120)] = below(256);
      const { code, stderr } = await translate(
        ...['--image', tempFile('hostile.elf', bytes), '--registers', registers, '--requests', requests, '--json'],
      );
      expect(code === 0 || (code === 2 && stderr.length > 20), `${n}: ${stderr}`).toBe(true);
      expect(stderr).not.toMatch(/defect/);
    }
  });
});
