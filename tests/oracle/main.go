// The oracle answers questions with OpenFGA itself, in its own process and memory: worlds come in as lines of JSON, and
// for each a line of answers goes out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"log"
	"os"
	"sort"
	"time"

	openfgav1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"
	"github.com/openfga/openfga/pkg/server"
	"github.com/openfga/openfga/pkg/storage/memory"
	"github.com/openfga/openfga/pkg/tuple"
	"github.com/openfga/openfga/pkg/typesystem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

type relationshipTuple struct {
	User      string         `json:"user"`
	Relation  string         `json:"relation"`
	Object    string         `json:"object"`
	Condition string         `json:"condition"`
	Context   map[string]any `json:"context"`
}

type question struct {
	Kind         string              `json:"kind"`
	User         string              `json:"user"`
	Relation     string              `json:"relation"`
	Object       string              `json:"object"`
	ObjectType   string              `json:"object_type"`
	UserType     string              `json:"user_type"`
	UserRelation string              `json:"user_relation"`
	Context      map[string]any      `json:"context"`
	Contextual   []relationshipTuple `json:"contextual"`
}

type world struct {
	Model     string              `json:"model"`
	Tuples    []relationshipTuple `json:"tuples"`
	Questions []question          `json:"questions"`
}

// An answer is a truth, a list, or a refusal.
type answer struct {
	Allowed *bool    `json:"allowed,omitempty"`
	List    []string `json:"list,omitempty"`
	IsList  bool     `json:"is_list,omitempty"`
	Refused string   `json:"refused,omitempty"`
}

type answers struct {
	Refused string   `json:"refused"`
	Answers []answer `json:"answers"`
}

func (t relationshipTuple) key() *openfgav1.TupleKey {
	key := &openfgav1.TupleKey{User: t.User, Relation: t.Relation, Object: t.Object}
	if t.Condition != "" {
		key.Condition = &openfgav1.RelationshipCondition{Name: t.Condition, Context: structOf(t.Context)}
	}
	return key
}

func keys(tuples []relationshipTuple) []*openfgav1.TupleKey {
	var keys []*openfgav1.TupleKey
	for _, t := range tuples {
		keys = append(keys, t.key())
	}
	return keys
}

func structOf(values map[string]any) *structpb.Struct {
	if values == nil {
		return nil
	}
	made, err := structpb.NewStruct(values)
	if err != nil {
		log.Fatal(err)
	}
	return made
}

func refusal(err error) answer {
	return answer{Refused: openfgav1.ErrorCode(status.Code(err)).String() + ": " + err.Error()}
}

// OpenFGA follows some groups of cycles for minutes.
const patience = 2 * time.Second

func ask(ctx context.Context, s *server.Server, store, model string, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	contextual := &openfgav1.ContextualTupleKeys{TupleKeys: keys(q.Contextual)}
	switch q.Kind {
	case "check":
		found, err := s.Check(ctx, &openfgav1.CheckRequest{
			StoreId: store, AuthorizationModelId: model, Context: structOf(q.Context), ContextualTuples: contextual,
			TupleKey: &openfgav1.CheckRequestTupleKey{User: q.User, Relation: q.Relation, Object: q.Object},
		})
		if err != nil {
			return refusal(err)
		}
		allowed := found.GetAllowed()
		return answer{Allowed: &allowed}
	case "objects":
		found, err := s.ListObjects(ctx, &openfgav1.ListObjectsRequest{
			StoreId: store, AuthorizationModelId: model, Context: structOf(q.Context), ContextualTuples: contextual,
			Type: q.ObjectType, Relation: q.Relation, User: q.User,
		})
		if err != nil {
			return refusal(err)
		}
		list := found.GetObjects()
		sort.Strings(list)
		return answer{List: list, IsList: true}
	default:
		objectType, id := tuple.SplitObject(q.Object)
		found, err := s.ListUsers(ctx, &openfgav1.ListUsersRequest{
			StoreId: store, AuthorizationModelId: model, Context: structOf(q.Context), ContextualTuples: keys(q.Contextual),
			Object: &openfgav1.Object{Type: objectType, Id: id}, Relation: q.Relation,
			UserFilters: []*openfgav1.UserTypeFilter{{Type: q.UserType, Relation: q.UserRelation}},
		})
		if err != nil {
			return refusal(err)
		}
		list := []string{}
		for _, user := range found.GetUsers() {
			list = append(list, tuple.UserProtoToString(user))
		}
		sort.Strings(list)
		return answer{List: list, IsList: true}
	}
}

func answersTo(ctx context.Context, s *server.Server, w world) answers {
	model, err := transformer.TransformDSLToProto(w.Model)
	if err != nil {
		return answers{Refused: "the language: " + err.Error()}
	}
	if _, err := typesystem.NewAndValidate(ctx, model); err != nil {
		return answers{Refused: err.Error()}
	}
	made := answers{Answers: []answer{}}
	if len(w.Questions) == 0 {
		return made
	}
	store, err := s.CreateStore(ctx, &openfgav1.CreateStoreRequest{Name: "random"})
	if err != nil {
		log.Fatal(err)
	}
	written, err := s.WriteAuthorizationModel(ctx, &openfgav1.WriteAuthorizationModelRequest{
		StoreId: store.GetId(), SchemaVersion: model.GetSchemaVersion(), TypeDefinitions: model.GetTypeDefinitions(),
		Conditions: model.GetConditions(),
	})
	if err != nil {
		return answers{Refused: err.Error()}
	}
	for rest := keys(w.Tuples); len(rest) > 0; {
		count := min(50, len(rest))
		_, err := s.Write(ctx, &openfgav1.WriteRequest{
			StoreId: store.GetId(), AuthorizationModelId: written.GetAuthorizationModelId(),
			Writes: &openfgav1.WriteRequestWrites{TupleKeys: rest[:count]},
		})
		if err != nil {
			return answers{Refused: "a tuple: " + err.Error()}
		}
		rest = rest[count:]
	}
	for _, q := range w.Questions {
		started := time.Now()
		found := ask(ctx, s, store.GetId(), written.GetAuthorizationModelId(), q)
		if time.Since(started) > patience/2 {
			found = answer{Refused: "late: it took too long"}
		}
		made.Answers = append(made.Answers, found)
		if found.Refused != "" && time.Since(started) > patience/2 {
			break
		}
	}
	if _, err := s.DeleteStore(ctx, &openfgav1.DeleteStoreRequest{StoreId: store.GetId()}); err != nil {
		log.Fatal(err)
	}
	return made
}

func main() {
	s := server.MustNewServerWithOpts(
		server.WithDatastore(memory.New()), server.WithRequestTimeout(time.Minute),
		server.WithListObjectsDeadline(time.Minute), server.WithListUsersDeadline(time.Minute),
	)
	defer s.Close()
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var w world
		if err := json.Unmarshal(line, &w); err != nil {
			log.Fatal(err)
		}
		made, err := json.Marshal(answersTo(context.Background(), s, w))
		if err != nil {
			log.Fatal(err)
		}
		if _, err := out.Write(append(made, '\n')); err != nil {
			log.Fatal(err)
		}
		if err := out.Flush(); err != nil {
			log.Fatal(err)
		}
	}
}
