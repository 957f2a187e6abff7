/**
 * The layers, lowest first: an import goes down this list, never up, and packages on one line do not import each other.
 * A name may be here before its package is.
 */
const layers = [
  ['bitfield'],
  ['vtd-spec', 'smmuv3-spec', 'paging', 'firmware'],
  ['kernel'],
  ['core'],
  ['iopf-queue', 'pci-ats'],
  ['vtd-driver', 'smmuv3-driver', 'vtd-hardware', 'smmuv3-hardware'],
  ['dma-engine'],
  ['machine'],
  ['oracles'],
  ['scenario'],
  ['explore', 'decode', 'inspect', 'qemu'],
  ['conformance'],
  ['litmus'],
];

const backends = ['vtd', 'smmuv3'];
const tests = '(\\.test\\.ts$|/test/)';
const any = (names) => `^packages/(${names.join('|')})/`;

/** From these packages, only to those, apart from tests. */
const only = (name, comment, from, allowed) => ({
  name,
  comment,
  severity: 'error',
  from: { path: any(from), pathNot: tests },
  to: { path: '^(packages/[^/]+|apps|bench|tools)/', pathNot: allowed.length > 0 ? any(allowed) : '^$' },
});

const rules = [];
for (const [index, layer] of layers.entries()) {
  const below = layers.slice(0, index).flat();
  for (const name of layer) {
    rules.push(
      only(`layers-${name}`, 'An import goes down the layers, never up or sideways.', [name], [name, ...below]),
    );
  }
}
for (const leaf of ['vtd-spec', 'smmuv3-spec', 'paging', 'firmware']) {
  rules.push(only(`leaf-${leaf}`, 'Specs, paging and firmware import bitfield only.', [leaf], [leaf, 'bitfield']));
}
for (const backend of backends) {
  const hardware = `${backend}-hardware`;
  rules.push(
    only(
      `blind-${hardware}`,
      'Hardware knows kernel, pci-ats, its spec, paging and bitfield; never core, iopf-queue or a driver.',
      [hardware],
      [hardware, 'kernel', 'pci-ats', `${backend}-spec`, 'paging', 'bitfield'],
    ),
    {
      name: `${backend}-stranger`,
      comment: 'Only apps, litmus, benchmarks and tests name a backend; decoders and QEMU may read its spec.',
      severity: 'error',
      from: {
        path: '^packages/',
        pathNot: [
          tests,
          any([
            'litmus',
            'decode',
            'inspect',
            'qemu',
            ...['spec', 'driver', 'hardware'].map((part) => `${backend}-${part}`),
          ]),
        ],
      },
      to: { path: `^packages/${backend}-(spec|driver|hardware)/` },
    },
    {
      name: `${backend}-decoder`,
      comment: 'A decoder reads declarations; it runs no backend.',
      severity: 'error',
      from: { path: any(['decode', 'inspect', 'qemu']), pathNot: tests },
      to: { path: `^packages/${backend}-(driver|hardware)/` },
    },
    {
      name: `${backend}-meet-in-memory`,
      comment: 'A driver and hardware meet in memory and registers.',
      severity: 'error',
      from: { path: `^packages/${backend}-driver/`, pathNot: tests },
      to: { path: `^packages/[^/]+-hardware/` },
    },
  );
}

module.exports = {
  forbidden: [
    ...rules,
    {
      name: 'known-package',
      comment: 'Every package has its line in .dependency-cruiser.cjs.',
      severity: 'error',
      from: { path: '^packages/', pathNot: any(layers.flat()) },
      to: {},
    },
    {
      name: 'no-node',
      comment:
        'node: modules only in qemu, the worker pool of explore, apps and tests: all else runs in a browser too.',
      severity: 'error',
      from: { path: '^packages/', pathNot: [tests, '^packages/qemu/', '^packages/explore/src/worker-pool'] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-tests-in-products',
      comment: 'No product code imports a test, or a tool.',
      severity: 'error',
      from: { path: '^(packages|apps)/[^/]+/src/', pathNot: tests },
      to: { path: [tests, '^tools/', '^node_modules/vitest'] },
    },
    {
      name: 'through-the-front-door',
      comment: 'A package is imported by its name, so only its index is seen.',
      severity: 'error',
      from: { path: '^(packages|apps)/([^/]+)/' },
      to: { path: '^(packages|apps)/[^/]+/src/', pathNot: ['^$1/$2/', '/src/index\\.ts$'] },
    },
    {
      name: 'no-cycle',
      comment: 'Modules do not import each other in a circle; types may.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolvable',
      comment: 'What is imported is there: a missing workspace dependency would go unseen.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules|dist' },
    exclude: { path: '^(packages|apps)/[^/]+/(reports|bin)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@iommukit/source', 'import', 'node', 'default', 'types'],
    },
  },
};
