export * as GroupCommit from "./GroupCommit.ts"
export * from "./RepositoryError.ts"
export * as TwinRepository from "./TwinRepository.ts"
export * as TwinTopic from "./TwinTopic.ts"
