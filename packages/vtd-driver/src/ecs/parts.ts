import type { CommonParts } from '../parts.js';

/** What the extended-context mode has instead of scalable mode's parts. */
export const ecsParts: Partial<CommonParts> = {};
