export { Coherence } from './coherence.js';
export { EarlyReuse } from './early-reuse.js';
export { FreedFrames } from './freed-frames.js';
export { LegalTrace } from './legal-trace.js';
export { type Census, type Finding, leaks, Oracles } from './oracles.js';
export { QuietDeath } from './quiet-death.js';
export { Responses } from './responses.js';
export { type Ask, RightMm } from './right-mm.js';
export { WholeEntries } from './whole-entries.js';
