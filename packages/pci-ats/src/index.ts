export type { AtsEndpoint, Link, Translation, TranslationAgent } from './agent.js';
export { AT, type CompletionStatus, type Downstream, PRG_RESPONSE, type Upstream } from './tlp.js';
