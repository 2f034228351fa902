import { Option, SchemaAST } from "effect"
import type { UnsupportedPlace, UnsupportedReason } from "./AnonymizeError.ts"
import * as EncodedKind from "./EncodedKind.ts"
import type { FieldNode, Leaf } from "./FieldNode.ts"
import * as FieldPath from "./FieldPath.ts"
import type { HmacSha256 } from "./HmacSha256.ts"
import * as LeafNode from "./LeafNode.ts"
import * as ListNode from "./ListNode.ts"
import * as Strategy from "./Strategy.ts"
import * as StructNode from "./StructNode.ts"
import * as UnionNode from "./UnionNode.ts"

const advices: Record<UnsupportedReason, string> = {
  NotADocument: "give a Schema.Struct, a Schema.Class or a union of them",
  NotScalar: "annotate the fields or items inside instead, or use Anonymize.redact",
  RecordKeys: "use Anonymize.redact or Anonymize.keep, or Anonymize.keepKeys if no key is personal data",
  AmbiguousUnion: "give each member a required field that no other has, or one with a literal of its own",
  Recursive: "use Anonymize.redact, or a Schema that does not contain itself",
  Conflict: "leave one of the two annotations away",
  Options: "scope is text without NUL, length a whole number from 4 to 22",
  SymbolKey: "name the field by a string"
}

// Stands where a problem was found, so that the rest of the Schema is looked at too. Never runs.
const unfinished: FieldNode = {
  anonymize: () => undefined,
  reanonymize: () => undefined,
  twin: SchemaAST.neverKeyword
}

/** Walks a Schema once; collects the fields and everything that stands in the way of compiling it. */
export class SchemaCompiler {
  readonly leaves: Array<Leaf> = []
  readonly unannotated = new Set<string>()
  readonly unsupported: Array<UnsupportedPlace> = []
  readonly #hmac: HmacSha256

  constructor(hmac: HmacSha256) {
    this.#hmac = hmac
  }

  /** Compiles a whole document. */
  document(ast: SchemaAST.AST): FieldNode {
    const kinds = EncodedKind.ofAst(ast)
    const isRedacted = Strategy.of(ast)?.name === "redact"
    if (kinds.size !== 1 || !kinds.has("object") || isRedacted) {
      return this.#refuse(FieldPath.root, kinds.has("recursive") ? "Recursive" : "NotADocument")
    }
    return this.#compile(ast, FieldPath.root, false)
  }

  #refuse(path: FieldPath.FieldPath, reason: UnsupportedReason): FieldNode {
    this.unsupported.push({ path: FieldPath.display(path), reason, advice: advices[reason] })
    return unfinished
  }

  #register({ node, leaf }: LeafNode.LeafNode): FieldNode {
    this.leaves.push(leaf)
    return node
  }

  #compile(ast: SchemaAST.AST, path: FieldPath.FieldPath, isKept: boolean): FieldNode {
    const strategy = Strategy.of(ast)
    if (strategy !== undefined) return this.#annotated(ast, strategy, path, isKept)
    const kinds = EncodedKind.ofAst(ast)
    // Nothing but null or undefined says nothing of a person.
    if (EncodedKind.isNullish(kinds)) return LeafNode.kept(path, ast, kinds).node
    if (isKept && EncodedKind.isLeaf(kinds)) return this.#keptLeaf(ast, path, kinds)
    return this.#structure(ast, path, isKept)
  }

  #structure(ast: SchemaAST.AST, path: FieldPath.FieldPath, isKept: boolean): FieldNode {
    switch (ast._tag) {
      case "Refinement":
      case "Transformation":
        return this.#compile(ast.from, path, isKept)
      case "TypeLiteral":
        return this.#struct(ast, path, isKept)
      case "TupleType":
        return this.#list(ast, path, isKept)
      case "Union":
        return this.#union(ast, path, isKept)
      case "Suspend":
        return this.#refuse(path, "Recursive")
      default:
        this.unannotated.add(FieldPath.display(path))
        return unfinished
    }
  }

  #annotated(
    ast: SchemaAST.AST,
    strategy: Strategy.Strategy,
    path: FieldPath.FieldPath,
    isKept: boolean
  ): FieldNode {
    const kinds = EncodedKind.ofAst(ast)
    const { name } = strategy
    if (isKept && name !== "keep") return this.#refuse(path, "Conflict")
    if (name === "redact") return this.#register(LeafNode.redact(path, kinds))
    if (name === "keep") return this.#keep(ast, path, kinds)
    if (!EncodedKind.isScalar(kinds)) return this.#refuse(path, "NotScalar")
    if (this.#hasOtherInside(ast, strategy)) return this.#refuse(path, "Conflict")
    if (!Strategy.isValid(strategy)) return this.#refuse(path, "Options")
    return this.#register(LeafNode.hashed(path, { ...strategy, name }, this.#hmac, kinds))
  }

  #keep(
    ast: SchemaAST.AST,
    path: FieldPath.FieldPath,
    kinds: ReadonlySet<EncodedKind.EncodedKind>
  ): FieldNode {
    if (EncodedKind.isLeaf(kinds)) return this.#keptLeaf(ast, path, kinds)
    // The twin of a kept structure has the original's own Schema, with all its transformations.
    return { ...this.#structure(ast, path, true), twin: ast }
  }

  #keptLeaf(
    ast: SchemaAST.AST,
    path: FieldPath.FieldPath,
    kinds: ReadonlySet<EncodedKind.EncodedKind>
  ): FieldNode {
    if (this.#hasOtherInside(ast, { name: "keep" })) return this.#refuse(path, "Conflict")
    return this.#register(LeafNode.kept(path, ast, kinds))
  }

  #hasOtherInside(ast: SchemaAST.AST, outer: Strategy.Strategy): boolean {
    const isOther = (inner: SchemaAST.AST): boolean => {
      const strategy = Strategy.of(inner)
      return (strategy !== undefined && !Strategy.same(strategy, outer)) || this.#hasOtherInside(inner, outer)
    }
    if (ast._tag === "Refinement" || ast._tag === "Transformation") return isOther(ast.from)
    return ast._tag === "Union" && ast.types.some(isOther)
  }

  #struct(ast: SchemaAST.TypeLiteral, path: FieldPath.FieldPath, isKept: boolean): FieldNode {
    const hasRecord = ast.indexSignatures.length > 0
    if (hasRecord && !isKept && !Strategy.keepsKeys(ast)) return this.#refuse(path, "RecordKeys")
    const fields = ast.propertySignatures.map((signature) => ({
      signature,
      name: String(signature.name),
      node: this.#field(signature, path, isKept)
    }))
    const records = ast.indexSignatures.map((signature) => ({
      signature,
      node: this.#compile(signature.type, FieldPath.recordValue(path), isKept)
    }))
    return StructNode.make(path.text, fields, records)
  }

  #field(signature: SchemaAST.PropertySignature, parent: FieldPath.FieldPath, isKept: boolean): FieldNode {
    const path = FieldPath.field(parent, String(signature.name))
    if (typeof signature.name === "symbol") return this.#refuse(path, "SymbolKey")
    const { type } = signature
    // A required literal is the same in every document: a part of the Schema, such as `_tag`.
    if (type._tag === "Literal" && !signature.isOptional && Strategy.of(type) === undefined) {
      return this.#register(LeafNode.constant(path, type))
    }
    return this.#compile(type, path, isKept)
  }

  #list(ast: SchemaAST.TupleType, path: FieldPath.FieldPath, isKept: boolean): FieldNode {
    const types = [...ast.elements, ...ast.rest].map(({ type }) => type)
    const [only] = new Set(types)
    if (only !== undefined && types.every((type) => type === only)) {
      const node = this.#compile(only, FieldPath.item(path), isKept)
      const [, ...tail] = ast.rest
      const rest = ast.rest.length > 0 ? node : undefined
      return ListNode.make(path.text, ast, {
        elements: ast.elements.map(() => node),
        rest,
        tail: tail.map(() => node)
      })
    }
    return this.#tuple(ast, path, isKept)
  }

  #tuple(ast: SchemaAST.TupleType, path: FieldPath.FieldPath, isKept: boolean): FieldNode {
    const [rest, ...tail] = ast.rest
    return ListNode.make(path.text, ast, {
      elements: ast.elements.map(({ type }, index) =>
        this.#compile(type, FieldPath.element(path, index), isKept)
      ),
      rest: rest && this.#compile(rest.type, FieldPath.item(path), isKept),
      tail: tail.map(({ type }, index) =>
        this.#compile(type, FieldPath.element(path, index - tail.length), isKept)
      )
    })
  }

  #union(ast: SchemaAST.Union, path: FieldPath.FieldPath, isKept: boolean): FieldNode {
    const members = ast.types.map((type) => ({ ast: type, node: this.#compile(type, path, isKept) }))
    const twin = SchemaAST.Union.make(members.map(({ node }) => node.twin))
    const present = members.filter((member) => !EncodedKind.isNullish(EncodedKind.ofAst(member.ast)))
    const [only] = present
    if (only !== undefined && present.length === 1) return { ...only.node, twin }
    // Nothing can be told of members that have problems of their own.
    if (members.some(({ node }) => node === unfinished)) return unfinished
    return Option.getOrElse(UnionNode.make(path.text, present, twin), () =>
      this.#refuse(path, "AmbiguousUnion")
    )
  }
}
