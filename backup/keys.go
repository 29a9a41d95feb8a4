package backup

import (
	"errors"
	"io/fs"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"lodge/cloud"
)

// keys are those of a bucket. Without any nobody is asked: S3 would take the
// question for one of everybody's, and say no more than that access is denied.
type keys struct {
	credentials.Provider
	file string // "" as the AWS tools do
}

func keysOf(file string) *keys {
	own := &credentials.FileAWSCredentials{Filename: file}
	if file != "" {
		return &keys{own, file}
	}
	return &keys{&credentials.Chain{Providers: []credentials.Provider{own, &credentials.EnvAWS{}}}, ""}
}

func (k *keys) Retrieve() (credentials.Value, error) { return k.RetrieveWithCredContext(nil) }

func (k *keys) RetrieveWithCredContext(c *credentials.CredContext) (credentials.Value, error) {
	return k.judged(k.Provider.RetrieveWithCredContext(c))
}

func (k *keys) judged(v credentials.Value, err error) (credentials.Value, error) {
	const write = "write aws_access_key_id and aws_secret_access_key into it, below [default]"
	switch {
	case k.file == "" && (err != nil || v.AccessKeyID == ""):
		return v, cloud.Errorf(cloud.CodeInvalid, "No keys of the bucket are set; give --backup-s3-credentials a file with them, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
	case err != nil:
		// What is wrong with the text has the text in it; what is wrong with the file has its name.
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			return v, cloud.Wrap(cloud.CodeInvalid, p.Err, "The file %s of --backup-s3-credentials cannot be read; %s.", k.file, write)
		}
		return v, cloud.Errorf(cloud.CodeInvalid, "The file %s of --backup-s3-credentials is not as the AWS tools write it; %s.", k.file, write)
	case v.AccessKeyID == "" || v.SecretAccessKey == "":
		return v, cloud.Errorf(cloud.CodeInvalid, "The file %s of --backup-s3-credentials has no keys of the bucket; %s.", k.file, write)
	}
	return v, nil
}
