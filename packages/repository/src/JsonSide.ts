import { Schema, SchemaAST } from "effect"

/**
 * A Schema as it looks in JSON text: where MongoDB stores a date, JSON has its ISO 8601 text. Everything
 * else that documents hold has the same form in both.
 */
const convert = (ast: SchemaAST.AST): SchemaAST.AST => {
  switch (ast._tag) {
    case "Declaration":
      return isDate(ast) ? Schema.Date.ast : ast
    case "TypeLiteral":
      return new SchemaAST.TypeLiteral(
        ast.propertySignatures.map(
          (field) =>
            new SchemaAST.PropertySignature(
              field.name,
              convert(field.type),
              field.isOptional,
              field.isReadonly,
              field.annotations
            )
        ),
        ast.indexSignatures.map(
          (index) => new SchemaAST.IndexSignature(index.parameter, convert(index.type), index.isReadonly)
        ),
        ast.annotations
      )
    case "TupleType":
      return new SchemaAST.TupleType(
        ast.elements.map(
          (element) =>
            new SchemaAST.OptionalType(convert(element.type), element.isOptional, element.annotations)
        ),
        ast.rest.map((rest) => new SchemaAST.Type(convert(rest.type), rest.annotations)),
        ast.isReadonly,
        ast.annotations
      )
    case "Union":
      return SchemaAST.Union.make(ast.types.map(convert), ast.annotations)
    case "Refinement":
      return new SchemaAST.Refinement(convert(ast.from), ast.filter, ast.annotations)
    case "Transformation":
      return new SchemaAST.Transformation(convert(ast.from), ast.to, ast.transformation, ast.annotations)
    case "Suspend":
      return new SchemaAST.Suspend(() => convert(ast.f()), ast.annotations)
    default:
      return ast
  }
}

/** The identifier would not do: a Schema loses it when it is annotated. */
const isDate = (ast: SchemaAST.AST): boolean =>
  ast.annotations[SchemaAST.SchemaIdAnnotationId] === Schema.DateFromSelfSchemaId

/** The JSON side of a Schema of stored documents. */
export const of = <A, I>(schema: Schema.Schema<A, I>): Schema.Schema<A, unknown> =>
  Schema.make(convert(schema.ast))
