import type { CoreParts } from '@iommukit/core';
import type { EngineDriverParts, EngineParts } from '@iommukit/dma-engine';
import { ScenarioError } from './scenario-error.js';

/** Classes in place of a machine's own, by module: a subclass that overrides one method changes one protocol step. */
export interface PartOverrides {
  readonly core?: Partial<CoreParts>;
  /** Parts of the backend's driver. */
  readonly driver?: object;
  /** Parts of the backend's hardware. */
  readonly hardware?: object;
  readonly engine?: Partial<EngineParts>;
  readonly engineDriver?: Partial<EngineDriverParts>;
}

/** A module with some of its parts replaced. @throws ScenarioError for a part that it does not have */
export function withParts<M extends { readonly parts: object }>(module: M, parts: object = {}): M {
  for (const name of Object.keys(parts)) {
    if (Object.hasOwn(module.parts, name)) continue;
    throw new ScenarioError(`no part is called '${name}'; there are ${Object.keys(module.parts).join(', ')}`);
  }
  return { ...module, parts: { ...module.parts, ...parts } };
}

/** Names the replacements, for tokens: a run of a changed machine does not replay on another one. */
export function namesOf(overrides: PartOverrides): readonly string[] {
  return Object.entries(overrides).flatMap(([module, parts]) =>
    Object.entries(parts as Record<string, { readonly name: string }>).map(
      ([part, { name }]) => `${module}.${part}=${name}`,
    ),
  );
}
